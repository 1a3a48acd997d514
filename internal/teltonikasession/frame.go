package teltonikasession

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// restAfter tells a device that streams, sending its next frame sooner, from one that is quiet. The session of a quiet
// device waits on a new goroutine, which takes less memory; for one that streams that would be work for nothing. A
// device that reports every second streams.
const restAfter = 2 * time.Second

// errRest ends a wait that goes on after ingest.Conn.Renew.
var errRest = errors.New("the device has stopped streaming")

// next waits for a frame and takes it. It returns why the connection closes, or nothing.
func (s *session) next() ingest.CloseReason {
	switch err := s.await(); {
	case err == errRest:
		s.rest(true)
		return ""
	case err != nil:
		cut := s.begunWith("frame")
		reason := s.cutShort(cut, err)
		s.showCutOff(cut, reason)
		return reason
	case s.beginsNoFrame():
		return s.loginAgain()
	}
	return s.takeFrame()
}

// takeFrame carries the frame whose header has arrived to its end. It is apart from next because the stack that next
// waits on has to be small.
func (s *session) takeFrame() ingest.CloseReason {
	w := s.frames.Get().(*frameContext)
	defer s.putBack(w)
	s.device.begin()
	err := s.carry(w)
	reason := s.dispose(w, err)
	w.heard()
	s.showFrame(w, err, reason)
	s.device.end(w.acknowledged >= 0)
	came := w.Received.Sub(s.began)
	if s.streams = s.lastFrame > 0 && came-s.lastFrame < restAfter; !s.streams {
		s.rest(false)
	}
	s.lastFrame = came
	return reason
}

// rest has the wait for the next frame go on with less memory. begun says that restAfter of it has passed.
func (s *session) rest(begun bool) {
	s.streams, s.rested = false, begun
	s.conn.Renew()
}

// await waits for the next frame's header, or for the beginning of a login, and skips keep-alives. Whatever arrives
// counts as a sign of life.
func (s *session) await() error {
	wait := s.IdleTimeout
	if s.rested {
		wait -= restAfter
	}
	rest := s.streams && wait > restAfter
	if rest {
		wait = restAfter
	}
	s.begun = false
	for s.have < teltonika.HeaderSize && !s.beginsNoFrame() {
		if err := s.allow(wait); err != nil {
			return err
		}
		m, err := s.conn.Read(s.head[s.have:])
		if rest && errors.Is(err, os.ErrDeadlineExceeded) {
			return errRest
		}
		if err != nil {
			return err
		}
		s.arrived(m)
		rest, wait, s.rested = false, s.IdleTimeout, false
	}
	return nil
}

// arrived takes n more bytes of head for arrived, without keep-alives in front of them all.
func (s *session) arrived(n int) {
	s.have = uint8(copy(s.head[:], teltonika.TrimKeepAlives(s.head[:int(s.have)+n])))
}

// allow allows so long for the next frame to begin, or, where it has begun, the time for its rest.
func (s *session) allow(wait time.Duration) error {
	if s.have > 0 {
		return s.allowRest()
	}
	return s.conn.Await(wait)
}

// beginsNoFrame reports whether head begins like a login and not like a frame, the first bytes of which are zero.
func (s *session) beginsNoFrame() bool { return s.have >= 2 && (s.head[0] != 0 || s.head[1] != 0) }

// carry takes one frame from the socket to its ACK. An error says at which step it stopped; dispositions says what
// follows from it.
func (s *session) carry(w *frameContext) error {
	if err := s.read(w); err != nil {
		return err
	}
	if err := w.frame.Verify(); err != nil {
		return err
	}
	w.mirrored = s.device.mirror.Offer(w.frame)
	if err := s.decode(w); err != nil {
		return err
	}
	s.device.last.keep(w)
	if err := s.allowBulk(w); err != nil {
		return err
	}
	if w.Codec.IsMessage() {
		return s.message(w)
	}
	records := w.items
	if !s.unlisted.spend(&w.source, records, w.Received) {
		return errUnlistedRate
	}
	outcome, err := s.storeRecords(w)
	if err != nil {
		return err
	}
	w.stored(outcome)
	return s.ack(w, records)
}

// newInARow is how many frames in a row have to bring nothing but new records before a device is believed to have sent
// again what was not acknowledged to it elsewhere: at another instance, or before this one started.
const newInARow = 3

// storeRecords has the first frames of a connection be looked for in the engine.
func (s *session) storeRecords(w *frameContext) (publish.Outcome, error) {
	w.packet.Recall, w.packet.Came = s.allNew < newInARow, s.device.loggedIn
	outcome, err := s.store(w)
	switch {
	case err != nil:
	case outcome.Duplicates > 0:
		s.allNew = 0
	case w.packet.Recall && outcome.Published > 0: // a frame without records says nothing
		s.allNew++
	}
	return outcome, err
}

// read brings the frame whose header has arrived into w.
func (s *session) read(w *frameContext) error {
	s.have = 0 // whatever becomes of the header, the next one is another
	w.source = s.source()
	w.first = s.head[:]
	w.frame, w.acknowledged, w.detached = w.frame[:0], -1, false
	size, err := teltonika.ParseHeader(s.head[:], s.MaxFrameBytes)
	if err != nil {
		return foreign(s.head[:], err)
	}
	if err := s.allowRest(); err != nil {
		return &partial{inside: "frame", first: s.head[:], have: len(s.head), size: size, error: err}
	}
	w.begin(s.head[:])
	if err := s.readRest(w, size); err != nil {
		return err
	}
	w.Received, w.size = time.Now(), size
	w.hold(w.frame, w.frame.Body(), teltonika.HeaderSize)
	return nil
}

// readRest reads what follows the frame's header. The buffer doubles as the bytes arrive, within the budget of large
// frames.
func (s *session) readRest(w *frameContext, size int) error {
	var from io.Reader = s.conn
	if size > firstFrame {
		w.claim = s.largeFrames.claim(s.conn, size)
		from = w.claim
	}
	for have := len(w.frame); have < size; have = len(w.frame) {
		room := min(size, max(firstFrame, 2*have))
		if room > firstFrame {
			if err := w.claim.grow(room); err != nil {
				return err
			}
		}
		n, err := io.ReadFull(from, w.extend(room))
		switch {
		case err == errBudget:
			return err
		case err != nil:
			return &partial{inside: "frame", first: s.head[:], have: have + n, size: size, error: err}
		}
	}
	return nil
}

// ack answers the frame with the number of its records, unless another platform has to acknowledge it too and has not:
// then the device sends it again.
func (s *session) ack(w *frameContext, records int) error {
	if w.mirrored != nil {
		w.shrink() // others need the memory meanwhile
	}
	if !w.mirrored.Confirmed(s.conn.Draining(), s.conn.Lasts) {
		return nil
	}
	binary.BigEndian.PutUint32(s.head[:], uint32(records))
	if err := s.answer(s.head[:4]); err != nil {
		return &writeError{err}
	}
	w.stats.ackLatency.Observe(time.Since(w.Received).Seconds())
	if !s.device.acked {
		s.backoff.end(s.loginSource(s.device.imei, false))
		s.device.known.Acknowledged()
	}
	if !s.proved && records > 0 { // none cost nobody anything
		s.prove()
	}
	w.acknowledged = records
	s.device.frames++
	s.device.records += records
	return nil
}

// prove makes the connection one that does not go when there is no room. Where there is a list, an ACK proves nothing:
// who is on the list is proven by the login already, and anybody else may have made the IMEI up.
func (s *session) prove() {
	s.proved = true
	if !s.Listed {
		s.conn.Prove()
	}
}
