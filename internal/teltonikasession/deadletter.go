package teltonikasession

import (
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
)

// reasonTimestamp is the dead letters' reason for a frame with a record beyond the year 9999.
const reasonTimestamp = "timestamp"

// bury stores the frame as a dead letter and acknowledges it if the verdict says so.
func (s *session) bury(w *work, v *verdict) ingest.CloseReason {
	records := 0
	if v.answer {
		records = w.frame.Count()
		s.Metrics.received(w.frame.Codec(), records)
	} else {
		s.Metrics.unknownCodec(w.frame.Codec())
	}
	_, err := s.store(w, max(1, records), func(f *publish.Frame, w *work) error {
		return s.addDeadLetter(f, w, v.deadLetter)
	})
	if err != nil {
		s.Logger.Error("dead letter not stored, frame not acknowledged", "imei", s.imei, "error", err)
		s.Metrics.refused(verdictOn(err).refused, records)
		return ""
	}
	s.Metrics.deadLettered(v.deadLetter, records)
	if !v.answer {
		return ""
	}
	if err := s.ack(w, records); err != nil {
		return s.writeFailed(err)
	}
	return ""
}

// addDeadLetter adds the frame at hand, copied because it may outlive the session's wait.
func (s *session) addDeadLetter(f *publish.Frame, w *work, reason string) error {
	if !s.deadLetters.take(s.imei, w.received) {
		return errDeadLetterLimit
	}
	start := len(f.Buffer)
	f.Buffer = append(f.Buffer, w.frame...)
	f.DeadLetters = append(f.DeadLetters, engine.DeadLetter{
		DeviceID: s.imei, Codec: w.frame.Codec().String(), Reason: reason, Received: w.received,
		Frame: f.Buffer[start:len(f.Buffer):len(f.Buffer)],
	})
	return nil
}
