package teltonikasession

import (
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
)

// reasonTimestamp is the dead letters' reason for a frame with a record beyond the year 9999.
const reasonTimestamp = "timestamp"

// DeadLetterReasons are all reasons that dead letters have.
func DeadLetterReasons() []string {
	reasons := []string{reasonTimestamp}
	for _, v := range verdicts {
		if v.deadLetter != "" {
			reasons = append(reasons, v.deadLetter)
		}
	}
	slices.Sort(reasons)
	return slices.Compact(reasons)
}

// bury stores the frame as a dead letter and acknowledges it if the verdict says so.
func (s *session) bury(w *work, v *verdict) ingest.CloseReason {
	records := s.condemn(w, v)
	store := s.store
	if w.codec.IsMessage() {
		store = s.keep
	}
	_, err := store(w, max(1, records), v.bury(w))
	if !s.buried(&w.origin, v, records, err) || !v.answer {
		return ""
	}
	if err := s.ack(w, records); err != nil {
		return s.writeFailed(err)
	}
	return ""
}

// condemn counts a frame that is to be a dead letter, and returns the number of its records: as many as it says if
// it is acknowledged, and otherwise none.
func (a *Adapter) condemn(w *work, v *verdict) (records int) {
	if w.codec.IsMessage() {
		w.figures.messagesReceived(w.codec, 1) // as far as anybody can tell
		return 0
	}
	if !v.answer {
		a.Metrics.unknownCodec(w.codec)
		return 0
	}
	w.figures.received(w.codec, w.claimed())
	return w.claimed()
}

// buried counts what has become of a dead letter and reports whether it is stored.
func (a *Adapter) buried(o *origin, v *verdict, records int, err error) bool {
	if err != nil {
		a.Logger.Error("dead letter not stored, frame not acknowledged", "imei", o.imei, "remote", remote{o.remote},
			"transport", o.figures.transport, "error", err)
		if reason := verdictOn(err).refused; o.codec.IsMessage() {
			o.figures.messagesRefused(o.codec, reason, 1)
		} else {
			o.figures.refused(reason, records)
		}
		return false
	}
	if o.codec.IsMessage() {
		o.figures.messagesDeadLettered(o.codec)
	} else {
		o.figures.deadLettered(v.deadLetter, records)
	}
	return true
}

// mayBury reports whether the device may cause one more dead letter now, and notes it.
func (w *work) mayBury() bool { return w.deadLetters.take(&w.origin, len(w.packet)) }

// bury returns what adds the dead letter that the verdict says, however often it is tried.
func (v *verdict) bury(w *work) func(*publish.Frame, *work) error {
	allowed := w.mayBury()
	return func(f *publish.Frame, w *work) error {
		if !allowed {
			return errDeadLetterLimit
		}
		addDeadLetter(f, w, v.deadLetter)
		return nil
	}
}

// addDeadLetter adds the packet at hand, copied because it may outlive the wait for its being stored.
func addDeadLetter(f *publish.Frame, w *work, reason string) {
	start := len(f.Buffer)
	f.Buffer = append(f.Buffer, w.packet...)
	f.DeadLetters = append(f.DeadLetters, engine.DeadLetter{
		DeviceID: w.imei, Codec: w.codec.String(), Reason: reason, Received: w.received, Transport: w.figures.kind(),
		Frame: f.Buffer[start:len(f.Buffer):len(f.Buffer)],
	})
}
