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

// Commands are told of the devices that are connected, and of what they say beside their records. None of the methods
// waits for anything. *command.Desk is one.
type Commands interface {
	Connected(imei string, l command.Line)
	Disconnected(imei string, l command.Line)
	Message(m *command.Message)
}

// noCommands is for sessions without commands.
type noCommands struct{}

func (noCommands) Connected(string, command.Line)    {}
func (noCommands) Disconnected(string, command.Line) {}
func (noCommands) Message(*command.Message)          {}

// firstACKPatience is how long after the login a command waits for the device's first frame to be acknowledged: many devices
// ignore commands before that.
const firstACKPatience = 5 * time.Second

var (
	errLineEnded = errors.New("the connection has ended")
	errLineBusy  = errors.New("another command waits for the connection")
)

// line is the side of a session that commands see, from other goroutines. While a frame is in hand the socket is the
// session's; otherwise a command may be written to it, so an ACK neither gets into a command nor waits behind one that
// waits.
type line struct {
	mu       sync.Mutex
	busy     bool // a frame is in hand: what is to be sent comes after its ACK
	ended    bool
	broken   bool // a command was not written in time, or in part
	waiting  *outgoing
	codec    teltonika.Codec // of the last frame of records
	frames   uint64          // acknowledged
	records  uint64          // acknowledged
	lastSeen time.Time
}

// outgoing is a command that waits for its moment.
type outgoing struct {
	frame []byte
	done  chan error
}

// begin takes the socket for a frame.
func (s *session) begin() {
	s.line.mu.Lock()
	s.line.busy = true
	s.line.mu.Unlock()
}

// end gives the socket back after a frame and sends the command that has waited.
func (s *session) end(w *work) {
	l := &s.line
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy, l.lastSeen = false, w.received
	if w.acknowledged >= 0 {
		l.codec = w.frame.Codec()
		l.frames++
		l.records += uint64(w.acknowledged)
	}
	if l.waiting != nil && s.maySend() {
		s.sendWaiting()
	}
}

// maySend reports whether now is a moment to send a command. The lock is held.
func (s *session) maySend() bool {
	return !s.line.busy && (s.line.frames > 0 || time.Since(s.since) >= firstACKPatience)
}

// Send implements command.Line.
func (s *session) Send(ctx context.Context, frame []byte) error {
	if err := ctx.Err(); err != nil {
		return err // it is too late already
	}
	out := &outgoing{frame: frame, done: make(chan error, 1)}
	if err := s.enqueue(out); err != nil {
		return err
	}
	patience := time.NewTimer(firstACKPatience - time.Since(s.since))
	defer patience.Stop()
	for {
		select {
		case err := <-out.done:
			return err
		case <-patience.C:
			s.sendNow(out)
		case <-ctx.Done():
			if s.takeBack(out) {
				return ctx.Err()
			}
			return <-out.done
		}
	}
}

// enqueue sends the command, or has it wait for its moment.
func (s *session) enqueue(out *outgoing) error {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	switch {
	case s.line.ended:
		return errLineEnded
	case s.line.waiting != nil:
		return errLineBusy
	}
	s.line.waiting = out
	if s.maySend() {
		s.sendWaiting()
	}
	return nil
}

// sendNow sends the command if it still waits and may be sent.
func (s *session) sendNow(out *outgoing) {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	if s.line.waiting == out && s.maySend() {
		s.sendWaiting()
	}
}

// takeBack reports whether the command still waited, and does no more.
func (s *session) takeBack(out *outgoing) bool {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	if s.line.waiting != out {
		return false
	}
	s.line.waiting = nil
	return true
}

// sendWaiting writes the command that waits. The lock is held. When it cannot be written nothing else can: what has
// gone out may be a part of it.
func (s *session) sendWaiting() {
	out := s.line.waiting
	s.line.waiting = nil
	err := s.conn.SetWriteDeadline(time.Now().Add(s.WriteTimeout))
	if err == nil {
		_, err = s.conn.Write(out.frame)
	}
	if err != nil {
		s.line.broken = true
		s.conn.Close()
	}
	out.done <- err
}

// hangUp refuses further commands and the one that waits.
func (s *session) hangUp() {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	s.line.ended = true
	if s.line.waiting != nil {
		s.line.waiting.done <- errLineEnded
		s.line.waiting = nil
	}
}

// Describe implements command.Line.
func (s *session) Describe() command.Device {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	d := command.Device{
		IMEI: s.imei, Since: s.since, Remote: s.conn.RemoteAddr().String(), Transport: s.conn.Transport(),
		Frames: s.line.frames, Records: s.line.records, LastSeen: s.line.lastSeen,
	}
	if s.line.codec != 0 {
		d.Codec = s.line.codec.String()
	}
	if d.LastSeen.IsZero() {
		d.LastSeen = d.Since
	}
	return d
}

// readReason says why a read outside of a frame failed.
func (s *session) readReason(err error) ingest.CloseReason {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	if s.line.broken {
		return ReasonWriteTimeout
	}
	return s.conn.Reason(err)
}
