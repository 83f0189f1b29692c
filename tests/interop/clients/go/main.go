// Stories that the Go client tells of a cluster: each does what an application does and checks every answer.
//
//	stories stories ENDPOINTS                        all of them, a line each
//	stories lock ENDPOINTS LOCK COUNTER ROUNDS       adds to a counter under a lock that others share
package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

const storyLimit = 60 * time.Second

type story struct {
	name string
	tell func(ctx context.Context, c *clientv3.Client)
}

var stories = []story{
	{"kv", tellKV},
	{"range", tellRange},
	{"txn", tellTxn},
	{"compaction", tellCompaction},
	{"lease", tellLease},
	{"lock", tellLock},
	{"election", tellElection},
	{"stm", tellSTM},
	{"recipes", tellRecipes},
	{"kubernetes", tellKubernetes},
	{"watch", tellWatch},
}

// mismatch is what a story panics with.
type mismatch string

// check ends the story unless held.
func check(held bool, format string, args ...any) {
	if !held {
		panic(mismatch(fmt.Sprintf(format, args...)))
	}
}

// must unwraps what a call of the client returned.
func must[T any](value T, err error) T {
	check(err == nil, "%v", err)
	return value
}

var answers = bufio.NewScanner(os.Stdin)

// ask has the runner do something and waits until it is done.
func ask(what string) {
	fmt.Println("ask", what)
	check(answers.Scan() && answers.Text() == "done", "the runner did not %s", what)
}

func connect(endpoints string) *clientv3.Client {
	return must(clientv3.New(clientv3.Config{
		Endpoints:   strings.Split(endpoints, ","),
		DialTimeout: 10 * time.Second,
		Logger:      zap.NewNop(),
	}))
}

// attempt runs f and returns what it panicked with, if it did.
func attempt(f func()) (failure string) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case mismatch:
			failure = string(cause)
		default:
			panic(cause)
		}
	}()
	f()
	return ""
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == "stories" {
		for _, s := range stories {
			failure := attempt(func() {
				ctx, cancel := context.WithTimeout(context.Background(), storyLimit)
				defer cancel()
				c := connect(os.Args[2])
				defer c.Close()
				s.tell(ctx, c)
			})
			if failure != "" {
				fmt.Println("FAILED", s.name+":", failure)
				os.Exit(1)
			}
			fmt.Println("ok", s.name)
		}
		return
	}
	if len(os.Args) == 6 && os.Args[1] == "lock" {
		failure := attempt(func() {
			rounds := must(strconv.Atoi(os.Args[5]))
			countUnderLock(os.Args[2], os.Args[3], os.Args[4], rounds)
		})
		if failure != "" {
			fmt.Println("FAILED lock:", failure)
			os.Exit(1)
		}
		return
	}
	fmt.Fprintln(os.Stderr, "usage: stories stories ENDPOINTS | stories lock ENDPOINTS LOCK COUNTER ROUNDS")
	os.Exit(2)
}
