package redisstore

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/commandtest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const (
	deviceA = "356307042441013"
	deviceB = "352093081452251"
)

// patient lets nothing end by itself while a test goes on, hasty lets everything end soon.
var (
	patient = command.Timeouts{Send: 10 * time.Second, Quarantine: time.Minute, Gap: time.Minute}
	hasty   = command.Timeouts{Send: 50 * time.Millisecond, Quarantine: 200 * time.Millisecond,
		Gap: 100 * time.Millisecond}
)

// node is a store that runs.
type node struct {
	*commandtest.Node
	*Store
	last atomic.Uint64 // number of a connection
}

// nodeOf is a store that does not run yet.
func nodeOf(s *Store) *node { return &node{Node: commandtest.NewNode(s), Store: s} }

// start opens the store as a process of this instance does, and runs it until the test ends.
func start(t testing.TB, r *testkit.Redis, instance string) *node {
	return run(t, open(t, r, instance))
}

func run(t testing.TB, s *Store) *node {
	t.Helper()
	n := nodeOf(s)
	n.last.Store(uint64(1_000_000 - 1000*lastNode.Add(1))) // numbers say nothing about those of other processes
	n.Start()
	t.Cleanup(n.stop)
	return n
}

var lastNode atomic.Int64

// stop ends the process in order.
func (n *node) stop() {
	<-n.End()
	_ = n.Close()
}

// crash ends it as kill -9 does.
func (n *node) crash() {
	crash(n.Store)
	n.stop()
}

// connect connects the device here, now.
func (n *node) connect(imei string) command.Connection { return n.connectSince(imei, time.Now()) }

func (n *node) connectSince(imei string, since time.Time) command.Connection {
	return n.Connect(command.Connection{IMEI: imei, Since: since, Number: n.last.Add(1)})
}

// wantReceived waits until the receiver was given the command.
func (n *node) wantReceived(t testing.TB, id string) command.Entry {
	t.Helper()
	testkit.Eventually(t, n.opt.Instance+" taking "+id, func() bool {
		_, ok := n.Received(id)
		return ok
	})
	e, _ := n.Received(id)
	return e
}

func (n *node) submit(t testing.TB, c command.Command) {
	t.Helper()
	if _, created, err := n.Submit(context.Background(), c); err != nil || !created {
		t.Fatalf("submit %s: created = %v, %v", c.ID, created, err)
	}
}

func (n *node) grant(t testing.TB, id string, p command.Timeouts) command.Entry {
	t.Helper()
	lease, err := n.Begin(context.Background(), id, p)
	if err != nil || !lease.Granted {
		t.Fatalf("begin %s: %+v, %v", id, lease, err)
	}
	return lease.Entry
}

func (n *node) lookup(t testing.TB, id string) command.Entry {
	t.Helper()
	e, err := n.Lookup(context.Background(), id)
	if err != nil {
		t.Fatalf("lookup %s: %v", id, err)
	}
	return e
}

// wantEnd waits for the command's end, and makes sure that there is one result and nothing left of it.
func (n *node) wantEnd(t testing.TB, r *testkit.Redis, id string, want command.State) command.Entry {
	t.Helper()
	testkit.Eventually(t, "the end of "+id, func() bool {
		e, err := n.Lookup(context.Background(), id)
		return err == nil && e.State.Final()
	})
	e := n.lookup(t, id)
	if e.State != want {
		t.Errorf("%s is %s (%s), want %s", id, e.State, e.Reason, want)
	}
	wantOneResult(t, r, e)
	wantNoTrace(t, r, e)
	return e
}

func wantOneResult(t testing.TB, r *testkit.Redis, e command.Entry) {
	t.Helper()
	var of []command.Entry
	for _, result := range results(t, r) {
		if result.ID == e.ID {
			of = append(of, result)
		}
	}
	if len(of) != 1 || of[0].State != e.State || of[0].Reason != e.Reason || string(of[0].Response) != string(e.Response) {
		t.Errorf("%s is %s (%s), its results are %+v", e.ID, e.State, e.Reason, of)
	}
}

// wantNoTrace makes sure that a command that is final is in no stream, list or index.
func wantNoTrace(t testing.TB, r *testkit.Redis, e command.Entry) {
	t.Helper()
	if score := r.Do("ZSCORE", "commands:due", e.ID); score != nil {
		t.Errorf("%s is due at %v", e.ID, score)
	}
	if at := r.Do("LPOS", "commands:parked:"+e.IMEI, e.ID); at != nil {
		t.Errorf("%s is parked", e.ID)
	}
	for _, key := range r.Do("KEYS", "commands:outbound:*").([]any) {
		for _, m := range stream(t, r, key.(string)) {
			if m.Values["id"] == e.ID {
				t.Errorf("%s is in %s", e.ID, key)
			}
		}
	}
	if life := r.Do("TTL", "commands:command:"+e.ID).(int64); life <= 0 || life > 24*3600 {
		t.Errorf("%s is kept for %d s", e.ID, life)
	}
}

// wantHolder waits until the registry names the instance, or nobody.
func wantHolder(t testing.TB, r *testkit.Redis, imei string, instance any) {
	t.Helper()
	testkit.Eventually(t, fmt.Sprintf("%v as the holder of %s", instance, imei), func() bool {
		return r.Do("HGET", "connections:registry", imei) == instance
	})
}

var lastCommand atomic.Int64

func newCommand(imei string) command.Command {
	c := command.Command{ID: fmt.Sprintf("command-%d", lastCommand.Add(1)), IMEI: imei, Payload: []byte("getinfo")}
	c.Complete(time.Now())
	return c
}

// brief returns a command whose answer is not awaited for long.
func brief(imei string) command.Command {
	c := newCommand(imei)
	c.Timeout = command.MinTimeout
	return c
}

func answer(imei, text string) *command.Message {
	return &command.Message{IMEI: imei, Codec: teltonika.Codec12, Type: teltonika.TypeResponse, Payload: []byte(text),
		Received: time.Now()}
}
