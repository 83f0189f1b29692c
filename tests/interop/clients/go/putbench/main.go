// putbench drives a server with puts as etcd's own Go client does it: one connection, so many goroutines that each wait
// for their put. What scripts/bench-client measures the C++ library against.
//
//	putbench -endpoint 127.0.0.1:2379 -in-flight 100 -total 100000
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func main() {
	endpoint := flag.String("endpoint", "127.0.0.1:2379", "the member's client address")
	inFlight := flag.Int("in-flight", 100, "puts under way at once")
	total := flag.Int64("total", 100000, "puts")
	valueBytes := flag.Int("value-bytes", 256, "size of each value")
	flag.Parse()

	client, err := clientv3.New(clientv3.Config{Endpoints: []string{*endpoint}, DialTimeout: 5 * time.Second})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	value := strings.Repeat("v", *valueBytes)
	var next atomic.Int64
	var workers sync.WaitGroup
	start := time.Now()
	for i := 0; i < *inFlight; i++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for {
				n := next.Add(1) - 1
				if n >= *total {
					return
				}
				if _, err := client.Put(context.Background(), fmt.Sprintf("putbench/%08d", n%10000), value); err != nil {
					log.Fatal(err)
				}
			}
		}()
	}
	workers.Wait()
	fmt.Printf("%d in flight: %.0f puts/s\n", *inFlight, float64(*total)/time.Since(start).Seconds())
}
