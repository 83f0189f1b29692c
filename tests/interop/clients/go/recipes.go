package main

import (
	"context"

	clientv3 "go.etcd.io/etcd/client/v3"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

// count is how many keys there are below a prefix.
func count(ctx context.Context, c *clientv3.Client, prefix string) int64 {
	return must(c.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())).Count
}

// The recipes of this client and those of the runner's own on the same keys: what one puts in the other takes out, and
// what one holds the other waits for.
func tellRecipes(ctx context.Context, c *clientv3.Client) {
	session := newSession(c)
	defer session.Close()
	queue := recipe.NewQueue(c, "recipes/queue")
	must(0, queue.Enqueue("go 1"))
	must(0, queue.Enqueue("go 2"))
	priorities := recipe.NewPriorityQueue(c, "recipes/priorities")
	must(0, priorities.Enqueue("go late", 9))
	lock := recipe.NewRWMutex(session, "recipes/lock")
	must(0, lock.RLock())
	ask("recipes take")
	must(0, lock.RUnlock())
	check(must(queue.Dequeue()) == "ours", "the other's item")
	for _, expected := range []string{"ours urgent", "go late", "ours later"} {
		got := must(priorities.Dequeue())
		check(got == expected, "got %q, expected %q", got, expected)
	}

	// The other waits while we write.
	must(0, lock.Lock())
	unlocked := make(chan error)
	go func() {
		for count(ctx, c, "recipes/lock/read") == 0 {
		}
		unlocked <- lock.Unlock()
	}()
	ask("recipes wait")
	must(0, <-unlocked)

	gate := recipe.NewBarrier(c, "recipes/gate")
	must(0, gate.Hold())
	released := make(chan error)
	go func() { released <- gate.Release() }()
	ask("recipes pass")
	must(0, <-released)

	meeting := recipe.NewDoubleBarrier(session, "recipes/meeting", 2)
	left := make(chan error)
	go func() {
		if err := meeting.Enter(); err != nil {
			left <- err
			return
		}
		left <- meeting.Leave()
	}()
	ask("recipes meet")
	must(0, <-left)
	check(count(ctx, c, "recipes/") == 0, "%d keys are left", count(ctx, c, "recipes/"))
}
