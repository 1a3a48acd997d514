package commandtest

import (
	"context"
	"iter"
	"maps"
	"slices"
	"sync"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// Node is a store with its Run going on, and the receiver of its commands, which notes them and carries out nothing.
type Node struct {
	command.Store
	end   context.CancelFunc
	ended chan struct{}

	mu          sync.Mutex
	received    []command.Entry
	finished    []command.Entry
	connections map[string]command.Connection
	takenOver   []command.Connection
}

// NewNode returns a node whose Run is not going on.
func NewNode(s command.Store) *Node {
	return &Node{Store: s, end: func() {}, connections: map[string]command.Connection{}}
}

// Start begins Run.
func (n *Node) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	n.end, n.ended = cancel, make(chan struct{})
	go func() {
		defer close(n.ended)
		n.Run(ctx, n)
	}()
}

// End ends Run. The channel, nil if it did not begin, is closed when it has ended.
func (n *Node) End() (ended <-chan struct{}) {
	n.end()
	return n.ended
}

// Receive implements command.Receiver.
func (n *Node) Receive(e command.Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.received = append(n.received, e)
}

// Finished implements command.Receiver.
func (n *Node) Finished(e command.Entry) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.finished = append(n.finished, e)
}

// Connections implements command.Receiver.
func (n *Node) Connections() iter.Seq[command.Connection] {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Values(maps.Clone(n.connections))
}

// ByDatagrams is a device that no command can reach.
const ByDatagrams = "359632104556782"

// Unreachable implements command.Receiver.
func (n *Node) Unreachable(_ context.Context, imei string) bool { return imei == ByDatagrams }

// TakenOver implements command.Receiver. The connection stays until the test ends it.
func (n *Node) TakenOver(imei string, number uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.takenOver = append(n.takenOver, command.Connection{IMEI: imei, Number: number})
}

// WasTakenOver reports whether the receiver was told that the device has a newer connection elsewhere than this one.
func (n *Node) WasTakenOver(c command.Connection) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.ContainsFunc(n.takenOver, func(older command.Connection) bool {
		return older.IMEI == c.IMEI && older.Number >= c.Number
	})
}

// Connect connects a device here.
func (n *Node) Connect(c command.Connection) command.Connection {
	n.mu.Lock()
	n.connections[c.IMEI] = c
	n.mu.Unlock()
	n.Connected(c)
	return c
}

// Disconnect ends the connection, which may have been followed by another one.
func (n *Node) Disconnect(c command.Connection) {
	n.mu.Lock()
	if n.connections[c.IMEI] == c {
		delete(n.connections, c.IMEI)
	}
	n.mu.Unlock()
	n.Disconnected(c)
}

// Forget empties the receiver's notes of what it was given.
func (n *Node) Forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.received = nil
}

// AllReceived are the entries that the receiver was given, in their order.
func (n *Node) AllReceived() []command.Entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.received)
}

// AllFinished are the entries of whose end the receiver was told.
func (n *Node) AllFinished() []command.Entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.finished)
}

// Received returns the last entry with the id that the receiver was given.
func (n *Node) Received(id string) (e command.Entry, ok bool) {
	for _, e := range slices.Backward(n.AllReceived()) {
		if e.ID == id {
			return e, true
		}
	}
	return command.Entry{}, false
}
