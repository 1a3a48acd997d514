package teltonikasession

import (
	"context"
	"errors"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Commands are told of the devices that are connected, and of what may answer a command. *command.Dispatcher is one.
type Commands interface {
	// Connected and Disconnected wait for nothing.
	Connected(imei string, number uint64, l command.Sender)
	Disconnected(imei string, l command.Sender)
	// Message takes a message for which MayAnswer holds and reports whether it is the answer to a command. It waits a
	// moment for that if a command of the device is in flight, which cannot be if none has been sent: written is false
	// while a command waits to be written to the connection.
	Message(m *command.Message, written bool) bool
}

// noCommands is for sessions without commands.
type noCommands struct{}

func (noCommands) Connected(string, uint64, command.Sender) {}
func (noCommands) Disconnected(string, command.Sender)      {}
func (noCommands) Message(*command.Message, bool) bool      { return false }

// firstACKPatience is how long after the login a command waits for the device's first frame to be acknowledged: many devices
// ignore commands before that.
const firstACKPatience = 5 * time.Second

var (
	errLineEnded = errors.New("the connection has ended")
	errLineBusy  = errors.New("another command waits for the connection")
)

// line is the side of a session that commands for its device see, from other goroutines. When another device logs in, that
// one gets a line of its own, and what was meant for the first cannot reach it. While a frame is in hand the socket is the
// session's; otherwise a command may be written to it, so an ACK neither gets into a command nor waits behind one that
// waits.
type line struct {
	session  *session
	imei     string
	loggedIn time.Time
	figures  figures

	mu      sync.Mutex
	busy    bool // a frame is in hand: what is to be sent comes after its ACK
	ended   bool
	acked   bool // the device's first frame is acknowledged
	broken  bool // a command was not written in time, or in part
	waiting *outgoing
}

// figures are what is told of a device that is connected. Their lock is their own: a device that does not read holds up nobody
// who asks for them.
type figures struct {
	mu       sync.Mutex
	codec    teltonika.Codec // of the last frame of records
	frames   uint64          // acknowledged
	records  uint64          // acknowledged
	lastSeen time.Time
}

// add takes down a frame.
func (f *figures) add(w *work) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastSeen = w.received
	if w.acknowledged >= 0 {
		f.codec = w.frame.Codec()
		f.frames++
		f.records += uint64(w.acknowledged)
	}
}

// outgoing is a command that waits for its moment.
type outgoing struct {
	frame   []byte
	late    func(now time.Time) bool // it is not to be sent any more
	written time.Time                // when writing began; read after done
	done    chan error
}

// begin takes the socket for a frame or a login's answer.
func (l *line) begin() {
	l.mu.Lock()
	l.busy = true
	l.mu.Unlock()
}

// end gives the socket back and sends the command that has waited. acked says that a frame was acknowledged.
func (l *line) end(acked bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy, l.acked = false, l.acked || acked
	if l.waiting != nil && l.maySend() {
		l.sendWaiting()
	}
}

// yield gives the socket back before the frame is done with, because nothing answers it. It reports whether no command
// waits to be written any more.
func (l *line) yield() (written bool) {
	l.end(false)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting == nil
}

// maySend reports whether now is a moment to send a command. The lock is held.
func (l *line) maySend() bool {
	return !l.busy && (l.acked || time.Since(l.loggedIn) >= firstACKPatience)
}

// Send implements command.Line.
func (l *line) Send(ctx context.Context, frame []byte) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err // it is too late already
	}
	out := &outgoing{frame: frame, late: lateBy(ctx), done: make(chan error, 1)}
	if err := l.enqueue(out); err != nil {
		return time.Time{}, err
	}
	patience := time.NewTimer(firstACKPatience - time.Since(l.loggedIn))
	defer patience.Stop()
	for {
		select {
		case err := <-out.done:
			return out.written, err
		case <-patience.C:
			l.sendNow(out)
		case <-ctx.Done():
			if l.takeBack(out) {
				return time.Time{}, ctx.Err()
			}
			err := <-out.done
			return out.written, err
		}
	}
}

// lateBy judges by ctx's deadline itself: whoever waits for its end may learn of it some time later.
func lateBy(ctx context.Context) func(now time.Time) bool {
	deadline, ok := ctx.Deadline()
	return func(now time.Time) bool { return ok && !now.Before(deadline) }
}

// enqueue sends the command, or has it wait for its moment.
func (l *line) enqueue(out *outgoing) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ended:
		return errLineEnded
	case l.waiting != nil:
		return errLineBusy
	}
	l.waiting = out
	if l.maySend() {
		l.sendWaiting()
	}
	return nil
}

// sendNow sends the command if it still waits and may be sent.
func (l *line) sendNow(out *outgoing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting == out && l.maySend() {
		l.sendWaiting()
	}
}

// takeBack reports whether the command still waited, and does no more.
func (l *line) takeBack(out *outgoing) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting != out {
		return false
	}
	l.waiting = nil
	return true
}

// sendWaiting writes the command that waits. The lock is held. When it cannot be written nothing else can: what has
// gone out may be a part of it.
func (l *line) sendWaiting() {
	out := l.waiting
	l.waiting = nil
	out.written = time.Now()
	if out.late(out.written) {
		out.done <- context.DeadlineExceeded
		return
	}
	err := l.session.conn.SetWriteDeadline(out.written.Add(l.session.WriteTimeout))
	if err == nil {
		_, err = l.session.conn.Write(out.frame)
	}
	if err != nil {
		l.broken = true
		l.session.conn.Close()
	}
	out.done <- err
}

// hangUp refuses further commands and the one that waits.
func (l *line) hangUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	if l.waiting != nil {
		l.waiting.done <- errLineEnded
		l.waiting = nil
	}
}

// Describe implements command.Line.
func (l *line) Describe() command.Device {
	f := &l.figures
	f.mu.Lock()
	defer f.mu.Unlock()
	d := command.Device{
		IMEI: l.imei, Since: l.loggedIn, Remote: l.session.conn.RemoteAddr().String(), Transport: l.session.conn.Transport(),
		Frames: f.frames, Records: f.records, LastSeen: f.lastSeen,
	}
	if f.codec != 0 {
		d.Codec = f.codec.String()
	}
	if d.LastSeen.IsZero() {
		d.LastSeen = d.Since
	}
	return d
}

// readReason says why a read failed.
func (s *session) readReason(err error) ingest.CloseReason {
	if s.line != nil && s.line.isBroken() {
		return ReasonWriteTimeout
	}
	return s.conn.Reason(err)
}

func (l *line) isBroken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}
