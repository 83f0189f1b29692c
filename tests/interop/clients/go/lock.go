package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
)

func newSession(c *clientv3.Client) *concurrency.Session {
	return must(concurrency.NewSession(c, concurrency.WithTTL(10)))
}

func tellLock(ctx context.Context, c *clientv3.Client) {
	one, two := newSession(c), newSession(c)
	defer one.Close()
	first, second := concurrency.NewMutex(one, "lock"), concurrency.NewMutex(two, "lock")
	must(0, first.Lock(ctx))
	check(second.TryLock(ctx) == concurrency.ErrLocked, "two hold one lock")
	held := make(chan error)
	go func() { held <- second.Lock(ctx) }()
	// Its key is in the queue, and the lock is not its own.
	for must(c.Get(ctx, "lock/", clientv3.WithPrefix(), clientv3.WithCountOnly())).Count < 2 {
	}
	select {
	case err := <-held:
		check(false, "the second did not wait: %v", err)
	default:
	}
	check(must(c.Txn(ctx).If(first.IsOwner()).Commit()).Succeeded, "the holder does not own the lock")
	must(0, first.Unlock(ctx))
	must(0, <-held)
	check(must(c.Txn(ctx).If(second.IsOwner()).Commit()).Succeeded, "the next does not own the lock")
	// A session that ends lets go of its lock.
	must(0, two.Close())
	must(0, first.Lock(ctx))
	must(0, first.Unlock(ctx))
}

func tellElection(ctx context.Context, c *clientv3.Client) {
	one, two := newSession(c), newSession(c)
	defer one.Close()
	defer two.Close()
	first, second := concurrency.NewElection(one, "election"), concurrency.NewElection(two, "election")
	_, err := first.Leader(ctx)
	check(err == concurrency.ErrElectionNoLeader, "a leader before the election: %v", err)
	must(0, first.Campaign(ctx, "one"))
	observed := second.Observe(ctx)
	next := func() string { return string((<-observed).Kvs[0].Value) }
	check(next() == "one", "the observer does not see the first leader")
	elected := make(chan error)
	go func() { elected <- second.Campaign(ctx, "two") }()
	for must(c.Get(ctx, "election/", clientv3.WithPrefix(), clientv3.WithCountOnly())).Count < 2 {
	}
	must(0, first.Proclaim(ctx, "one again"))
	check(next() == "one again", "the observer does not see a proclamation")
	check(string(must(second.Leader(ctx)).Kvs[0].Value) == "one again", "the leader's words")
	must(0, first.Resign(ctx))
	must(0, <-elected)
	check(next() == "two", "the observer does not see the second leader")
	must(0, second.Resign(ctx))
}

// Transfers among accounts from several goroutines keep the sum. An STM reads its snapshot serializably, at a revision
// that another member may not have yet, so all goes through one.
func tellSTM(ctx context.Context, c *clientv3.Client) {
	c.SetEndpoints(c.Endpoints()[0])
	const accounts, workers, transfers = 4, 4, 15
	account := func(i int) string { return fmt.Sprintf("stm/%d", i%accounts) }
	for i := range accounts {
		must(c.Put(ctx, account(i), "100"))
	}
	var group sync.WaitGroup
	failures := make(chan error, workers*transfers)
	for w := range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := range transfers {
				_, err := concurrency.NewSTM(c, func(stm concurrency.STM) error {
					from, to := account(w+i), account(w+2*i+1)
					if from == to {
						return nil
					}
					giver, _ := strconv.Atoi(stm.Get(from))
					taker, _ := strconv.Atoi(stm.Get(to))
					stm.Put(from, strconv.Itoa(giver-1))
					stm.Put(to, strconv.Itoa(taker+1))
					return nil
				}, concurrency.WithAbortContext(ctx))
				failures <- err
			}
		}()
	}
	group.Wait()
	for range workers * transfers {
		must(0, <-failures)
	}
	sum := 0
	for _, kv := range must(c.Get(ctx, "stm/", clientv3.WithPrefix())).Kvs {
		sum += must(strconv.Atoi(string(kv.Value)))
	}
	check(sum == 100*accounts, "%d units of %d are left", sum, 100*accounts)
}

// countUnderLock reads the counter and writes one more, in two steps that only the lock holds together.
func countUnderLock(endpoints, lock, counter string, rounds int) {
	ctx, cancel := context.WithTimeout(context.Background(), storyLimit)
	defer cancel()
	c := connect(endpoints)
	defer c.Close()
	session := newSession(c)
	defer session.Close()
	mutex := concurrency.NewMutex(session, lock)
	ask("start")
	for range rounds {
		must(0, mutex.Lock(ctx))
		number := 0
		if got := must(c.Get(ctx, counter)); got.Count > 0 {
			text, _, _ := strings.Cut(string(got.Kvs[0].Value), " ")
			number = must(strconv.Atoi(text))
		}
		must(c.Put(ctx, counter, fmt.Sprintf("%d go", number+1)))
		must(0, mutex.Unlock(ctx))
	}
}
