package command

import (
	"context"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
)

// Sender is the connection of a device, as far as commands go.
type Sender interface {
	// Send writes a frame to the device, at a moment at which no frame of the device is in hand and its first one is
	// acknowledged, and returns when that was: what the device said before is not the answer. When it fails, also
	// because ctx ended before that moment came, the device cannot have got the whole frame.
	Send(ctx context.Context, frame []byte) (time.Time, error)
	// Describe tells what is known of the device, its model apart.
	Describe() Device
}

// Options are the dispatcher's settings. All fields are needed.
type Options struct {
	Store    Store
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
	surplus  chan Entry // of queues that are full
	running  sync.WaitGroup
	models   models

	mu      sync.Mutex      // never taken while a frame of records is in hand
	ctx     context.Context // of Run, nil before and after it
	lines   map[string]connection
	queues  map[string]*queue
	chatter chatter
	said    int // messages in hand
	bytes   int // of their payloads
}

// connection is a connected device.
type connection struct {
	line   Sender
	since  time.Time
	number uint64
}

// How many messages of devices, with how many bytes, and commands beyond what a queue takes, may be in hand. Of what is
// more, a message is taken for no answer, and a command stays with the store until it expires.
const (
	maxMessages     = 4096
	maxMessageBytes = 16 << 20
	surplusCommands = 1024
)

// NewDispatcher returns a dispatcher that does nothing before Run.
func NewDispatcher(o Options) *Dispatcher {
	d := &Dispatcher{
		Options: o, auditLog: logging.Audit(o.Logger), surplus: make(chan Entry, surplusCommands), models: newModels(),
		lines: make(map[string]connection), queues: make(map[string]*queue), chatter: newChatter(),
	}
	d.policy.Store(o.Policy)
	return d
}

// SetPolicy puts another policy in force, for commands that are not sent yet too.
func (d *Dispatcher) SetPolicy(p *Policy) { d.policy.Store(p) }

// Run carries out commands until ctx ends. A command that is in flight then stays Sent; the store sees to its end.
func (d *Dispatcher) Run(ctx context.Context) {
	d.mu.Lock()
	d.ctx = ctx
	d.mu.Unlock()
	d.background(func() { d.Store.Run(ctx, d) })
	d.background(func() { d.refuseSurplus(ctx) })
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

// Connected says that a device is connected by this line. The one with the highest number counts, in whatever order they
// are told of.
func (d *Dispatcher) Connected(imei string, number uint64, l Sender) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.lines[imei].number > number {
		return
	}
	c := connection{line: l, since: time.Now(), number: number}
	d.lines[imei] = c
	d.Store.Connected(c.of(imei))
	if q := d.queues[imei]; q != nil {
		q.wake()
	}
}

// Disconnected says that the line has ended.
func (d *Dispatcher) Disconnected(imei string, l Sender) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok := d.lines[imei]
	if !ok || c.line != l {
		return // taken over
	}
	delete(d.lines, imei)
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
	all := make([]Connection, 0, len(d.lines))
	for imei, c := range d.lines {
		all = append(all, c.of(imei))
	}
	d.mu.Unlock()
	return func(yield func(Connection) bool) {
		for _, c := range all {
			if !yield(c) {
				return
			}
		}
	}
}

// Devices are the devices that are connected here, in no order.
func (d *Dispatcher) Devices() iter.Seq[Device] {
	d.mu.Lock()
	lines := make([]Sender, 0, len(d.lines))
	for _, c := range d.lines {
		lines = append(lines, c.line)
	}
	d.mu.Unlock()
	return func(yield func(Device) bool) {
		for _, l := range lines {
			info := l.Describe()
			info.Model = d.models.of(info.IMEI)
			if !yield(info) {
				return
			}
		}
	}
}

// Device is the one of that IMEI, if it is connected here.
func (d *Dispatcher) Device(imei string) (Device, bool) {
	d.mu.Lock()
	line := d.lines[imei].line
	d.mu.Unlock()
	if line == nil {
		return Device{}, false
	}
	info := line.Describe()
	info.Model = d.models.of(imei)
	return info, true
}

// Receive implements Receiver.
func (d *Dispatcher) Receive(e Entry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ctx == nil {
		return // the next run takes it
	}
	if d.queue(e.IMEI).add(e) {
		return
	}
	select {
	case d.surplus <- e:
	default:
	}
}

// Finished implements Receiver: a command has got its final state from the store itself.
func (d *Dispatcher) Finished(e Entry) { d.finished(&e) }

// answerPatience is how long Message waits for the store to say whose answer a message is.
const answerPatience = 2 * time.Second

// Message takes a message that may be an answer (Message.MayAnswer) and reports whether it is the one to the
// command in flight. Only while there is one here, and all of it is written, Message waits for the store, a
// moment at most: a store that fails holds up no device. Otherwise the store is asked in its own time, because
// the message may be a late answer, or one to a command that another instance has sent. Dispatcher keeps m and its
// payload.
func (d *Dispatcher) Message(m *Message, written bool) bool {
	if !d.take(m, written) || m.match == nil {
		return false
	}
	patience := time.NewTimer(answerPatience)
	defer patience.Stop()
	select {
	case match := <-m.match:
		return match == MatchAnswer
	case <-patience.C:
		d.setInFlight(m.IMEI, false) // the store does not answer, so nothing waits for it any more
		return false
	}
}

// setInFlight says whether a command of the device is in flight here and what the device says may be waited for.
func (d *Dispatcher) setInFlight(imei string, yes bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if q := d.queues[imei]; q != nil {
		q.inFlight = yes
	}
}

// take takes a message in hand if there is room for it.
func (d *Dispatcher) take(m *Message, written bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	q := d.queues[m.IMEI]
	if written && q != nil && q.inFlight {
		m.match = make(chan Match, 1)
	}
	if d.ctx != nil && d.hasRoom(m) && d.queue(m.IMEI).say(m) {
		d.said++
		d.bytes += len(m.Payload)
		return true
	}
	d.Metrics.message(messageDropped)
	return false
}

// hasRoom reports whether a message may be taken in hand: one that is awaited, or as many others as the store may be
// asked about.
func (d *Dispatcher) hasRoom(m *Message) bool {
	if d.said >= maxMessages || d.bytes+len(m.Payload) > maxMessageBytes {
		return false
	}
	return m.match != nil || d.chatter.take(m.IMEI, m.Received)
}

// heard takes a message out of hand.
func (d *Dispatcher) heard(m *Message) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.said--
	d.bytes -= len(m.Payload)
}

// queue is the device's, which begins if there is none. The lock is held.
func (d *Dispatcher) queue(imei string) *queue {
	q := d.queues[imei]
	if q == nil {
		q = newQueue(d.ctx, d, imei)
		d.queues[imei] = q
		d.running.Go(q.run)
	}
	return q
}

func (d *Dispatcher) refuseSurplus(ctx context.Context) {
	for {
		select {
		case e := <-d.surplus:
			d.finish(ctx, e, Failed, tooManyWait)
		case <-ctx.Done():
			return
		}
	}
}
