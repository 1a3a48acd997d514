package teltonikasession

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// maxPriority is the highest priority that the protocol defines: panic. In Codec 7, whose priority has two bits, 3 is an
// alarm.
const maxPriority = 2

// restAfter tells a device that streams, sending its next frame sooner, from one that is quiet. The session of a quiet
// device waits on a new goroutine, which takes less memory; for one that streams that would be work for nothing.
const restAfter = time.Second

// errRest ends a wait that goes on after ingest.Conn.Renew.
var errRest = errors.New("the device has stopped streaming")

// next waits for a frame and takes it. It returns why the connection closes, or nothing.
func (s *session) next() ingest.CloseReason {
	switch err := s.await(); {
	case err == errRest:
		s.rest(restAfter)
		return ""
	case err != nil:
		return s.cutShort(s.begunWith("frame"), err)
	case s.beginsNoFrame():
		return s.loginAgain()
	}
	return s.take()
}

// take carries the frame whose header has arrived to its end. It is apart from next because the stack that next waits
// on has to be small.
func (s *session) take() ingest.CloseReason {
	w := s.work.Get().(*work)
	defer s.putBack(w) // also if a bug makes a step panic: the budget belongs to all devices
	s.line.begin()
	err := s.carry(w)
	reason := s.conclude(w, err)
	s.line.figures.add(w)
	s.line.end(w.acknowledged >= 0)
	if s.streams = w.received.Sub(s.lastFrame) < restAfter; !s.streams {
		s.rest(0)
	}
	s.lastFrame = w.received
	return reason
}

func (a *Adapter) putBack(w *work) {
	if w.unaccounted > 0 {
		w.figures.refused(verdicts[len(verdicts)-1].refused, w.unaccounted)
		w.unaccounted = 0
	}
	if w.claim != nil {
		w.claim.end()
		w.claim = nil
	}
	w.trim()
	a.work.Put(w)
}

// rest has the wait for the next frame, of which some time has passed, go on with less memory.
func (s *session) rest(waited time.Duration) {
	s.streams, s.waited = false, waited
	s.conn.Renew()
}

// await waits for the next frame's header, or for the beginning of a login, and skips keep-alives. Whatever arrives counts
// as a sign of life.
func (s *session) await() error {
	wait := s.IdleTimeout - s.waited
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
		rest, wait, s.waited = false, s.IdleTimeout, 0
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

// carry takes one frame from the socket to its ACK. An error says at which step it stopped; verdicts says what
// follows from it.
func (s *session) carry(w *work) error {
	if err := s.read(w); err != nil {
		return err
	}
	if err := w.frame.Verify(); err != nil {
		return err
	}
	if w.codec.IsMessage() {
		return s.message(w)
	}
	if err := w.data.Decode(w.body); err != nil {
		return teltonika.Shift(err, w.offset)
	}
	w.figures.received(w.codec, w.data.Count)
	w.unaccounted = w.data.Count
	outcome, err := s.publish(w)
	w.unaccounted = 0
	if err != nil {
		return err
	}
	w.figures.stored(w.codec, outcome, w.dead)
	return s.ack(w, w.data.Count)
}

// read brings the frame whose header has arrived into w.
func (s *session) read(w *work) error {
	s.have = 0 // whatever becomes of the header, the next one is another
	w.origin = s.origin()
	w.frame, w.acknowledged = w.frame[:0], -1
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
	w.received = time.Now()
	w.hold(w.frame, w.frame.Body(), teltonika.HeaderSize)
	return nil
}

// readRest reads what follows the frame's header. The buffer doubles as the bytes arrive, within the budget of large
// frames.
func (s *session) readRest(w *work, size int) error {
	var from io.Reader = s.conn
	if size > firstFrame {
		w.claim = s.largeFrames.claim(s.conn)
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

// publish encodes the decoded records and stores them. A record that cannot be published takes the whole frame
// to the dead letters, once, while the others are published.
func (s *session) publish(w *work) (publish.Outcome, error) {
	if w.data.Count == 0 {
		w.dead = 0
		return publish.Outcome{}, nil
	}
	if !s.unlisted.take(&w.origin, w.data.Count, w.received) {
		return publish.Outcome{}, errUnlistedRate
	}
	return s.store(w, w.data.Count, s.fill)
}

// store publishes what fill puts into a frame with room for n records.
func (a *Adapter) store(w *work, n int, fill func(*publish.Frame, *work) error) (publish.Outcome, error) {
	f, err := a.admit(w, n, fill)
	if err != nil {
		return publish.Outcome{}, err
	}
	return a.Publisher.Publish(f)
}

// admit returns a frame with room for n records, with what fill puts into it.
func (a *Adapter) admit(w *work, n int, fill func(*publish.Frame, *work) error) (*publish.Frame, error) {
	f, err := a.Publisher.AdmitWithin(w.share, w.imei, n)
	if err != nil {
		return nil, err
	}
	filled := false
	defer func() {
		if !filled { // also if a bug made fill panic: the room belongs to all devices
			a.Publisher.Discard(f)
		}
	}()
	if err := fill(f, w); err != nil {
		return nil, err
	}
	filled = true
	return f, nil
}

// fill encodes the decoded records into f.
func (a *Adapter) fill(f *publish.Frame, w *work) (err error) {
	w.dead = 0
	codec := w.data.Codec
	w.encoder.Begin(record.Origin{DeviceID: w.imei, Codec: codec, Received: w.received})
	for i := range w.data.Records {
		r := &w.data.Records[i]
		if r.Priority > maxPriority && codec != teltonika.Codec7 {
			a.Metrics.priorityOutOfRange.Inc()
		}
		if f.Buffer, f.Records, err = w.encoder.Append(f.Buffer, f.Records, r); err != nil {
			w.dead++
		}
	}
	if w.dead == 0 {
		return nil
	}
	if !w.mayBury() {
		return errDeadLetterLimit
	}
	addDeadLetter(f, w, reasonTimestamp)
	return nil
}

// ack answers the frame with the number of its records.
func (s *session) ack(w *work, records int) error {
	binary.BigEndian.PutUint32(s.head[:], uint32(records))
	if err := s.answer(s.head[:4]); err != nil {
		return &writeError{err}
	}
	w.figures.ackLatency.Observe(time.Since(w.received).Seconds())
	if !s.line.acked {
		s.backoff.end(s.source(s.line.imei, false))
	}
	if !s.proved && records > 0 { // none cost nobody anything
		s.prove()
	}
	w.acknowledged = records
	return nil
}

// prove makes the connection one that does not go when there is no room. Where there is a list, an ACK proves nothing: who
// is on the list is proven by the login already, and anybody else may have made the IMEI up.
func (s *session) prove() {
	s.proved = true
	if !s.Listed {
		s.conn.Prove()
	}
}
