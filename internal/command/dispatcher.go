package command

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
)

// Sender writes commands to a device: its connection, as far as commands go.
type Sender interface {
	// Send writes a frame when no frame of the device is in hand and its first one is acknowledged. It returns when that
	// was: what the device said before is not the answer. When Send fails, also because ctx ended before that moment, the
	// device cannot have got the whole frame. At that very moment onlyIf, unless it is nil, has to be true of the device's
	// last record; else nothing is written, and the error is a [condition.NotMet].
	Send(ctx context.Context, frame []byte, onlyIf *condition.Condition) (time.Time, error)
	// TakenOver closes the connection, because the device has a newer one at another instance.
	TakenOver()
	// Dismiss ends the connection as soon as no frame of the device is in hand. It reports false, and does nothing, if a
	// command waits to be sent, or the connection has ended. A command that is sent before then keeps the connection.
	Dismiss() bool
}

// Models keep what devices say of themselves.
type Models interface {
	// Answered takes a device's answer to getver. It waits for nothing.
	Answered(imei string, answer []byte)
}

// noModels is for a dispatcher without Models.
type noModels struct{}

func (noModels) Answered(string, []byte) {}

// Options are the dispatcher's settings. All fields but Models and ByDatagrams are needed.
type Options struct {
	Store  Store
	Models Models

	// ByDatagrams reports whether the device was never connected anywhere and sends datagrams, as far as is known.
	ByDatagrams func(ctx context.Context, imei string) bool

	Policy   *Policy
	Timeouts Timeouts
	Metrics  *Metrics
	Logger   *slog.Logger
}

// Dispatcher carries out the commands of the devices that are connected to this instance.
type Dispatcher struct {
	Options
	auditLog *slog.Logger
	policy   atomic.Pointer[Policy]
	running  sync.WaitGroup
	watchers watchers

	mu             sync.Mutex      // never taken while a frame of records is in hand
	ctx            context.Context // of Run; nil before and after it
	connected      map[string]connection
	queues         map[string]*queue
	unawaited      *limit.Table[limit.Bucket] // by IMEI: messages that nobody here awaits
	pending        int                        // messages in hand
	pendingPayload int                        // bytes of their payloads
}

// connection is a connected device.
type connection struct {
	sender Sender
	since  time.Time
	number uint64
}

// What may be in hand at once, for all devices. A message beyond that is taken for no answer. Commands are bounded by
// the store.
const (
	maxPending        = 4096 // messages
	maxPendingPayload = 16 << 20
)

// unawaitedRate is how often the store is asked about messages of one device that nobody here awaits. A device that
// sends data of its own accord must not keep the store busy.
var unawaitedRate = limit.PerSecond(10, 200)

// unawaitedCells is how many devices are told apart; others share a cell.
const unawaitedCells = 1 << 14

// NewDispatcher returns a dispatcher that does nothing before Run.
func NewDispatcher(o Options) *Dispatcher {
	if o.Models == nil {
		o.Models = noModels{}
	}
	d := &Dispatcher{
		Options: o, auditLog: logging.Audit(o.Logger),
		watchers: watchers{byID: make(map[string][]chan Entry)}, connected: make(map[string]connection),
		queues: make(map[string]*queue), unawaited: limit.NewTable[limit.Bucket](unawaitedCells),
	}
	d.policy.Store(o.Policy)
	return d
}

// SetPolicy puts another policy in force, also for commands that wait.
func (d *Dispatcher) SetPolicy(p *Policy) { d.policy.Store(p) }

// Run carries out commands until ctx ends. A command in flight then stays Sent, and the store ends it.
func (d *Dispatcher) Run(ctx context.Context) {
	d.mu.Lock()
	d.ctx = ctx
	d.mu.Unlock()
	d.background(func() { d.Store.Run(ctx, d) })
	<-ctx.Done()
	d.mu.Lock()
	d.ctx = nil // nothing begins any more
	d.mu.Unlock()
	d.running.Wait()
}

func (d *Dispatcher) background(run func()) {
	d.running.Go(func() {
		defer logging.ExitOnPanic(d.Logger)
		run()
	})
}

// Connected says that a device is connected by this sender. The highest number counts, in whatever order they come.
func (d *Dispatcher) Connected(imei string, number uint64, s Sender) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.connected[imei].number > number {
		return
	}
	c := connection{sender: s, since: time.Now(), number: number}
	d.connected[imei] = c
	d.Store.Connected(c.of(imei))
	if q := d.queues[imei]; q != nil {
		q.wake()
	}
}

// Disconnected says that the sender's connection has ended.
func (d *Dispatcher) Disconnected(imei string, s Sender) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok := d.connected[imei]
	if !ok || c.sender != s {
		return // taken over
	}
	delete(d.connected, imei)
	d.Store.Disconnected(c.of(imei))
	if q := d.queues[imei]; q != nil {
		q.wake()
	}
}

func (c connection) of(imei string) Connection {
	return Connection{IMEI: imei, Since: c.since, Number: c.number}
}

// Connections implements Receiver.
func (d *Dispatcher) Connections() iter.Seq[Connection] {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]Connection, 0, len(d.connected))
	for imei, c := range d.connected {
		all = append(all, c.of(imei))
	}
	return slices.Values(all)
}

// TakenOver implements Receiver.
func (d *Dispatcher) TakenOver(imei string, number uint64) {
	d.mu.Lock()
	c, ok := d.connected[imei]
	d.mu.Unlock()
	if !ok || c.number > number {
		return // it has ended, or the device has come back since
	}
	d.Logger.Info("device connected elsewhere, connection closed", "imei", imei)
	c.sender.TakenOver()
}

// Dismiss has a connection end between two frames, so that its device comes again, maybe to another instance. It
// reports false, and does nothing, if the connection has ended or a command of the device is in hand.
func (d *Dispatcher) Dismiss(c Connection) bool {
	d.mu.Lock()
	now, ok := d.connected[c.IMEI]
	q := d.queues[c.IMEI]
	busy := q != nil && len(q.entries) > 0
	d.mu.Unlock()
	return ok && now.number == c.Number && !busy && now.sender.Dismiss()
}

// sender is the device's connection, or nil.
func (d *Dispatcher) sender(imei string) Sender {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.connected[imei].sender
}

// Receive implements Receiver.
func (d *Dispatcher) Receive(e Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx == nil {
		return // the next run receives it
	}
	d.queue(e.IMEI).add(e)
}

// Unreachable implements Receiver.
func (d *Dispatcher) Unreachable(ctx context.Context, imei string) bool {
	return d.ByDatagrams != nil && d.sender(imei) == nil && d.ByDatagrams(ctx, imei)
}

// Finished implements Receiver: the store itself has given the command its final state.
func (d *Dispatcher) Finished(e Entry) { d.finished(&e) }

// answerTimeout is how long Message waits for the store to say whose answer a message is.
const answerTimeout = 2 * time.Second

// Message takes a message that may be an answer (Message.MayAnswer), and reports whether it answers the command in
// flight. It waits for the store, a moment at most, if a command is in flight here and written is true: all of it is
// written. Otherwise the store is asked in its own time: the message may be a late answer, or answer a command that
// another instance has sent. The dispatcher keeps m and its payload.
func (d *Dispatcher) Message(m *Message, written bool) bool {
	if !d.admit(m, written) || m.match == nil {
		return false
	}
	timeout := time.NewTimer(answerTimeout)
	defer timeout.Stop()
	select {
	case match := <-m.match:
		return match == MatchAnswer
	case <-timeout.C:
		d.setInFlight(m.IMEI, false) // the store does not answer, so nothing waits for it any more
		return false
	}
}

// setInFlight says whether a command of the device is in flight here, and so its messages may wait for the store.
func (d *Dispatcher) setInFlight(imei string, yes bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if q := d.queues[imei]; q != nil {
		q.inFlight = yes
	}
}

// admit queues a message if there is room for it.
func (d *Dispatcher) admit(m *Message, written bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.queues[m.IMEI]
	if written && q != nil && q.inFlight {
		m.match = make(chan Match, 1)
	}
	if d.ctx != nil && d.hasRoom(m) && d.queue(m.IMEI).addMessage(m) {
		d.pending++
		d.pendingPayload += len(m.Payload)
		return true
	}
	d.Metrics.message(messageDropped)
	return false
}

// hasRoom reports whether a message may be queued: one that is awaited, or as many others as the store may be asked
// about.
func (d *Dispatcher) hasRoom(m *Message) bool {
	if d.pending >= maxPending || d.pendingPayload+len(m.Payload) > maxPendingPayload {
		return false
	}
	return m.match != nil || d.unawaited.Of(m.IMEI).Take(1, m.Received, unawaitedRate)
}

// release takes a message out of hand.
func (d *Dispatcher) release(m *Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pending--
	d.pendingPayload -= len(m.Payload)
}

// queue is the device's. It is begun if there is none. d.mu is held.
func (d *Dispatcher) queue(imei string) *queue {
	q := d.queues[imei]
	if q == nil {
		q = newQueue(d.ctx, d, imei)
		d.queues[imei] = q
		d.running.Go(q.run)
	}
	return q
}
