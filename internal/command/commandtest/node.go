package commandtest

import (
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// limit is how long anything may take that happens in the store's own time. A healthy store needs milliseconds; the
// limit is for a busy machine.
const limit = 20 * time.Second

// node is an instance of the backend.
type node struct {
	*Node
	backend  Backend
	instance string
	gone     bool
}

// open opens the store as the instance does, without Run.
func open(t *testing.T, b Backend, instance string) *node {
	t.Helper()
	n := &node{Node: NewNode(b.Open(t, instance)), backend: b, instance: instance}
	t.Cleanup(func() { n.stop(t) })
	return n
}

// start opens the store as the instance does, and runs it until the case ends.
func start(t *testing.T, b Backend, instance string) *node {
	t.Helper()
	n := open(t, b, instance)
	n.Start()
	return n
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
	ended := n.End()
	if ended == nil {
		return
	}
	select {
	case <-ended:
	case <-time.After(limit):
		t.Errorf("run of %s goes on after its context has ended", n.instance)
	}
}

var lastConnection atomic.Int64

// connection is a new connection of the device. Each is some milliseconds younger than the one before it.
func connection(imei string) command.Connection {
	number := lastConnection.Add(1)
	return command.Connection{IMEI: imei, Since: suiteStart.Add(time.Duration(number) * 5 * time.Millisecond),
		Number: uint64(number)}
}

var suiteStart = time.Now()

// connect connects the device here.
func (n *node) connect(imei string) command.Connection { return n.Connect(connection(imei)) }

// endings counts how often the receiver was told of the command's end.
func (n *node) endings(id string) (count int) {
	for _, e := range n.AllFinished() {
		if e.ID == id {
			count++
		}
	}
	return count
}

// order returns the device's ids in the order in which the receiver was given each first.
func (n *node) order(imei string) (ids []string) {
	for _, e := range n.AllReceived() {
		if e.IMEI == imei && !slices.Contains(ids, e.ID) {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// wantTakenOver waits until the receiver was told that the device has a newer connection elsewhere.
func (n *node) wantTakenOver(t *testing.T, c command.Connection) {
	t.Helper()
	testkit.Succeeds(t, "the receiver of "+n.instance+" hearing of the newer connection", limit+n.backend.Takeover,
		func() error {
			if !n.WasTakenOver(c) {
				return errors.New("not told")
			}
			return nil
		})
}

// wantReceived waits until the receiver was given the command, and returns it as it was then.
func (n *node) wantReceived(t *testing.T, id string) (e command.Entry) {
	t.Helper()
	testkit.Succeeds(t, "the receiver of "+n.instance+" taking "+id, limit+n.backend.Takeover, func() error {
		var ok bool
		if e, ok = n.Received(id); !ok {
			return errors.New("not taken")
		}
		return nil
	})
	return e
}
