package teltonikasession

import (
	"context"
	"errors"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	devices "git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
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

// firstACKTimeout is how long after the login a command waits for the device's first frame to be acknowledged: many
// devices ignore commands before that.
const firstACKTimeout = 5 * time.Second

var (
	errEnded = errors.New("the connection has ended")
	errBusy  = errors.New("another command waits for the connection")
)

// sender writes commands to the connection, from other goroutines. While a frame is in hand the socket is the
// session's; otherwise a command may be written to it, so an ACK neither gets into a command nor waits behind one that
// waits.
type sender struct {
	session  *session
	imei     string
	known    *devices.Device // nil without Options.Devices
	loggedIn time.Time

	mu      sync.Mutex
	busy    bool // a frame is in hand: what is to be sent comes after its ACK
	carries bool // a frame is in hand, also one that nothing answers
	leaves  bool // the connection ends when no frame is in hand
	ended   bool
	acked   bool // the device's first frame is acknowledged
	broken  bool // a command was not written in time, or in part
	waiting *outgoing
	last    lastRecord // for conditions of commands; read and written only while the socket is one's own
}

// outgoing is a command that waits for its moment.
type outgoing struct {
	frame   []byte
	onlyIf  *condition.Condition     // of the device's last record; nil for none
	late    func(now time.Time) bool // it is not to be sent any more
	written time.Time                // when writing began; read after done
	done    chan error
}

// begin takes the socket for a frame or a login's answer.
func (s *sender) begin() {
	s.mu.Lock()
	s.busy, s.carries = true, true
	s.mu.Unlock()
}

// end gives the socket back and sends the command that has waited. acked says that a frame was acknowledged. It is the
// moment at which the connection ends, if it is to.
func (s *sender) end(acked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.carries = false
	s.release(acked)
	if s.leaves {
		s.dismiss()
	}
}

// release gives the socket to commands. The lock is held.
func (s *sender) release(acked bool) {
	s.busy, s.acked = false, s.acked || acked
	if s.waiting != nil && s.maySend() {
		s.sendWaiting()
	}
}

// dismiss ends the connection, and has no command begin on it any more. The lock is held.
func (s *sender) dismiss() {
	s.ended = true
	s.session.conn.Dismiss()
}

// yield gives the socket back before the frame is done with, because nothing answers it. It reports whether no command
// waits to be written any more.
func (s *sender) yield() (written bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.release(false)
	return s.waiting == nil
}

// maySend reports whether now is a moment to send a command. The lock is held.
func (s *sender) maySend() bool {
	return !s.busy && (s.acked || time.Since(s.loggedIn) >= firstACKTimeout)
}

// Send implements command.Sender.
func (s *sender) Send(ctx context.Context, frame []byte, onlyIf *condition.Condition) (time.Time, error) {
	if err := ctx.Err(); err != nil {
		return time.Time{}, err // it is too late already
	}
	out := &outgoing{frame: frame, onlyIf: onlyIf, late: lateBy(ctx), done: make(chan error, 1)}
	if err := s.enqueue(out); err != nil {
		return time.Time{}, err
	}
	unanswered := time.NewTimer(firstACKTimeout - time.Since(s.loggedIn))
	defer unanswered.Stop()
	for {
		select {
		case err := <-out.done:
			return out.written, err
		case <-unanswered.C:
			s.sendNow(out)
		case <-ctx.Done():
			if s.takeBack(out) {
				return time.Time{}, ctx.Err()
			}
			err := <-out.done
			return out.written, err
		}
	}
}

// lateBy goes by ctx's deadline itself: whoever waits for its end may learn of it some time later.
func lateBy(ctx context.Context) func(now time.Time) bool {
	deadline, ok := ctx.Deadline()
	return func(now time.Time) bool { return ok && !now.Before(deadline) }
}

// enqueue sends the command, or has it wait for its moment.
func (s *sender) enqueue(out *outgoing) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
		return errEnded
	case s.waiting != nil:
		return errBusy
	}
	s.leaves = false // the answer comes here
	s.waiting = out
	if s.maySend() {
		s.sendWaiting()
	}
	return nil
}

// sendNow sends the command if it still waits and may be sent.
func (s *sender) sendNow(out *outgoing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == out && s.maySend() {
		s.sendWaiting()
	}
}

// takeBack reports whether the command still waited, and does no more.
func (s *sender) takeBack(out *outgoing) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting != out {
		return false
	}
	s.waiting = nil
	return true
}

// sendWaiting writes the command that waits. The lock is held. When it cannot be written nothing else can: what has
// gone out may be a part of it.
func (s *sender) sendWaiting() {
	out := s.waiting
	s.waiting = nil
	out.written = time.Now()
	if out.late(out.written) {
		out.done <- context.DeadlineExceeded
		return
	}
	if notMet := s.check(out); notMet != nil {
		out.done <- notMet
		return
	}
	err := s.session.write(out.frame, out.written)
	if err != nil {
		s.broken = true
		s.session.conn.Close()
	}
	s.session.showCommand(s.imei, out, err)
	out.done <- err
}

// hangUp refuses further commands and the one that waits.
func (s *sender) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	if s.waiting != nil {
		s.waiting.done <- errEnded
		s.waiting = nil
	}
}

// readReason says why a read failed.
func (s *session) readReason(err error) ingest.CloseReason {
	if s.device != nil && s.device.isBroken() {
		return ReasonWriteTimeout
	}
	return s.conn.Reason(err)
}

func (s *sender) isBroken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}
