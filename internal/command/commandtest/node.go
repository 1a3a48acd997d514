package commandtest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// limit is how long anything may take that happens in the store's own time. A healthy store needs milliseconds; the limit
// is for a busy machine.
const limit = 20 * time.Second

// node is a store with its Run going on, and the receiver of its commands, which notes them and carries out nothing.
type node struct {
	command.Store
	backend  Backend
	instance string
	end      context.CancelFunc
	ended    chan struct{}
	gone     bool

	mu          sync.Mutex
	taken       []command.Entry
	finished    []command.Entry
	connections map[string]command.Connection
}

// open opens the store as the instance does, without Run.
func open(t *testing.T, b Backend, instance string) *node {
	t.Helper()
	n := &node{Store: b.Open(t, instance), backend: b, instance: instance, end: func() {}, connections: map[string]command.Connection{}}
	t.Cleanup(func() { n.stop(t) })
	return n
}

// start opens the store as the instance does, and runs it until the case ends.
func start(t *testing.T, b Backend, instance string) *node {
	t.Helper()
	n := open(t, b, instance)
	n.run()
	return n
}

func (n *node) run() {
	ctx, cancel := context.WithCancel(context.Background())
	n.end, n.ended = cancel, make(chan struct{})
	go func() {
		defer close(n.ended)
		n.Run(ctx, n)
	}()
}

// stop ends Run and closes the store, as a process does that is asked to end.
func (n *node) stop(t *testing.T) {
	t.Helper()
	if n.gone {
		return
	}
	n.gone = true
	n.await(t)
	if err := n.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// crash ends the store without an orderly end.
func (n *node) crash(t *testing.T) {
	t.Helper()
	n.gone = true
	if n.backend.Crash != nil {
		n.backend.Crash(t, n.Store)
	}
	n.await(t)
	_ = n.Close()
}

// await ends Run and waits for it.
func (n *node) await(t *testing.T) {
	t.Helper()
	n.end()
	if n.ended == nil {
		return
	}
	select {
	case <-n.ended:
	case <-time.After(limit):
		t.Errorf("run of %s goes on after its context has ended", n.instance)
	}
}

// Receive is the receiver's.
func (n *node) Receive(e command.Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.taken = append(n.taken, e)
}

// Finished is the receiver's.
func (n *node) Finished(e command.Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.finished = append(n.finished, e)
}

// Connections is the receiver's.
func (n *node) Connections() iter.Seq[command.Connection] {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all []command.Connection
	for _, c := range n.connections {
		all = append(all, c)
	}
	return slices.Values(all)
}

var lastConnection atomic.Int64

// connection is a new connection of the device. Each is some milliseconds younger than the one before it.
func connection(imei string) command.Connection {
	number := lastConnection.Add(1)
	return command.Connection{IMEI: imei, Since: suiteStart.Add(time.Duration(number) * 5 * time.Millisecond), Number: uint64(number)}
}

var suiteStart = time.Now()

// connect connects the device here.
func (n *node) connect(imei string) command.Connection {
	c := connection(imei)
	n.mu.Lock()
	n.connections[imei] = c
	n.mu.Unlock()
	n.Connected(c)
	return c
}

// disconnect ends the connection, which may have been followed by another one.
func (n *node) disconnect(c command.Connection) {
	n.mu.Lock()
	if n.connections[c.IMEI] == c {
		delete(n.connections, c.IMEI)
	}
	n.mu.Unlock()
	n.Disconnected(c)
}

// forget empties the receiver's notes.
func (n *node) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.taken = nil
}

// took returns the last entry with the id that the receiver was given.
func (n *node) took(id string) (e command.Entry, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range slices.Backward(n.taken) {
		if e.ID == id {
			return e, true
		}
	}
	return command.Entry{}, false
}

// endings counts how often the receiver was told of the command's end.
func (n *node) endings(id string) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.finished {
		if e.ID == id {
			count++
		}
	}
	return count
}

// order returns the device's ids in the order in which the receiver was given each first.
func (n *node) order(imei string) (ids []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.taken {
		if e.IMEI == imei && !slices.Contains(ids, e.ID) {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// wantTaken waits until the receiver was given the command, and returns it as it was then.
func (n *node) wantTaken(t *testing.T, id string) (e command.Entry) {
	t.Helper()
	testkit.Succeeds(t, "the receiver of "+n.instance+" taking "+id, limit+n.backend.Takeover, func() error {
		var ok bool
		if e, ok = n.took(id); !ok {
			return errors.New("not taken")
		}
		return nil
	})
	return e
}
