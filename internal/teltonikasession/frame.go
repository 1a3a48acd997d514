package teltonikasession

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// maxPriority is the highest priority that the protocol defines: panic.
const maxPriority = 2

// frames carries one frame after the other until the connection ends.
func (s *session) frames() ingest.CloseReason {
	for {
		if err := s.await(); err != nil {
			return s.conn.Reason(err)
		}
		w := s.work.Get().(*work)
		err := s.carry(w)
		reason := s.conclude(w, err)
		w.trim()
		s.work.Put(w)
		if reason != "" {
			return reason
		}
	}
}

// await waits for the next frame's header and skips keep-alives. Whatever arrives counts as a sign of life.
func (s *session) await() error {
	for n := 0; n < teltonika.HeaderSize; {
		if err := s.conn.Await(s.IdleTimeout); err != nil {
			return err
		}
		m, err := s.conn.Read(s.head[n:])
		if err != nil {
			return err
		}
		n = skipKeepAlives(s.head[:n+m])
	}
	return nil
}

// carry takes one frame from the socket to its ACK. An error says at which step it stopped; verdicts says what
// follows from it.
func (s *session) carry(w *work) error {
	if err := s.read(w); err != nil {
		return err
	}
	read := time.Now()
	if err := w.frame.Verify(); err != nil {
		return err
	}
	if w.frame.Codec().IsMessage() {
		return s.message(w)
	}
	if err := w.data.Decode(w.frame.Body()); err != nil {
		return teltonika.At(teltonika.HeaderSize, err)
	}
	s.Metrics.received(w.frame.Codec(), w.data.Count)
	outcome, err := s.publish(w, read)
	if err != nil {
		return err
	}
	s.Metrics.stored(w.frame.Codec(), outcome, w.dead)
	if err := s.ack(w.data.Count); err != nil {
		return err
	}
	s.Metrics.ackLatency.Observe(time.Since(read).Seconds())
	return nil
}

// read brings the frame whose header has arrived into w.
func (s *session) read(w *work) error {
	w.frame = w.frame[:0]
	size, err := teltonika.ParseHeader(s.head[:], s.MaxFrameBytes)
	if err != nil {
		return err
	}
	if err := s.conn.Await(s.IdleTimeout); err != nil {
		return &socketError{err}
	}
	w.begin(s.head[:])
	for len(w.frame) < size {
		if _, err := io.ReadFull(s.conn, w.extend(size)); err != nil {
			return &socketError{err}
		}
	}
	return nil
}

// publish encodes the decoded records and stores them. A record that cannot be published takes the whole frame
// to the dead letters, once, while the others are published.
func (s *session) publish(w *work, received time.Time) (publish.Outcome, error) {
	w.dead = 0
	if w.data.Count == 0 {
		return publish.Outcome{}, nil
	}
	f, err := s.Publisher.Admit(s.imei, w.data.Count)
	if err != nil {
		return publish.Outcome{}, err
	}
	codec := w.data.Codec
	w.encoder.Begin(record.Origin{DeviceID: s.imei, Codec: codec, Received: received})
	name := codec.String()
	for i := range w.data.Records {
		r := &w.data.Records[i]
		if r.Priority > maxPriority {
			s.Metrics.priorityOutOfRange.Inc()
		}
		var doc record.Document
		f.Buffer, doc, err = w.encoder.Append(f.Buffer, r)
		if err != nil {
			w.dead++
			continue
		}
		f.Records = append(f.Records, engine.Record{
			DeviceID: s.imei, Codec: name, Timestamp: int64(r.Timestamp),
			Hash: doc.Hash, Time: doc.Time, ID: doc.ID, Payload: doc.Payload,
		})
	}
	if w.dead > 0 {
		s.addDeadLetter(f, w, reasonTimestamp, received)
	}
	return s.Publisher.Publish(f)
}

// ack answers the frame with the number of its records.
func (s *session) ack(records int) error {
	binary.BigEndian.PutUint32(s.head[:], uint32(records))
	if err := s.answer(4); err != nil {
		return &writeError{err}
	}
	s.frameCount++
	s.recordCount += uint64(records)
	return nil
}

// message takes a frame of Codec 12 to 15, which is never answered with a number of records.
func (s *session) message(w *work) error {
	messages, err := teltonika.DecodeMessages(w.frame.Body())
	if err != nil {
		return &messageError{teltonika.At(teltonika.HeaderSize, err)}
	}
	if s.Logger.Enabled(context.Background(), slog.LevelDebug) {
		s.Logger.Debug("message received", "imei", s.imei, "codec", messages.Codec.String(), "messages", len(messages.Messages))
	}
	return nil
}
