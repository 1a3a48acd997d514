package teltonikasession

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/pipeline"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Why a session ends, beside the reasons of the shell. docs/reference/close-reasons.md comes from these comments.
const (
	// The first bytes are no login; `cause` of `login malformed` says what they are, if that is known. Worry: no, on the
	// open internet.
	ReasonMalformedLogin ingest.CloseReason = "malformed_login"
	// An unknown device under STRICT_DEVICE_AUTH, or another device's certificate under TLS_BIND_IMEI. Worry: see
	// IngestionLoginsRefused.
	ReasonRejected ingest.CloseReason = "rejected"
	// The device did not take an answer for WRITE_TIMEOUT. Worry: if many: the network.
	ReasonWriteTimeout ingest.CloseReason = "write_timeout"
	// Neither a frame nor a login, or an impossible length: the frame boundaries are lost. Worry: if many: something
	// changes bytes on the way.
	ReasonBadFrame ingest.CloseReason = "bad_frame"
	// Three frames in a row had a wrong CRC. Worry: see OPERATIONS.md#crc-failures-from-one-device.
	ReasonCRC ingest.CloseReason = "crc"
	// A frame of a codec that is not decoded; closing ends a resend at full speed. Worry: see IngestionUnknownCodec.
	ReasonUnknownCodec ingest.CloseReason = "unknown_codec"
	// Frames above 2 KiB share 64 MiB. This one had to wait for them for 10 s, or stalled for 3 s while others waited.
	// Worry: if it lasts: an attack, or devices with far too large frames.
	ReasonOverload ingest.CloseReason = "overload"
	// A frame, or a login on an open connection, began and did not end within a minute. Worry: if many: a network that
	// loses large packets; see `connection ended inside a frame or login`.
	ReasonFrameTimeout ingest.CloseReason = "frame_timeout"
	// In the log only: another device logged in on the connection, which is that one's from now on. Worry: no.
	ReasonOtherLogin ingest.CloseReason = "other_login"
)

// maxWrongCRCs in a row close the connection: the reader has lost the boundaries, or the line is too bad.
const maxWrongCRCs = 3

// writeError is an answer that could not be written, messageError a frame of Codec 12 to 15 that cannot be decoded.
type (
	writeError   struct{ error }
	messageError struct{ error }
)

func (e *writeError) Unwrap() error   { return e.error }
func (e *messageError) Unwrap() error { return e.error }

// disposition is what follows when a frame does not get through all six steps.
type disposition struct {
	applies    func(error) bool
	result     string             // of teltonika_frames_total
	refused    string             // of teltonika_records_refused_total: the device shall send the records again
	deadLetter string             // the frame is stored as dead letter for this reason
	answer     bool               // it is acknowledged once the dead letter is stored
	close      ingest.CloseReason // else the session goes on with the next frame
	backoff    bool               // the device's next login is answered later
	level      slog.Level
	log        string
}

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// noFrame applies to what stands where a frame or login would begin and is neither.
func noFrame(err error) bool {
	return errors.Is(err, teltonika.ErrPreamble) || errors.Is(err, teltonika.ErrLogin)
}

// anything applies to the engine's errors, and to what nobody foresaw.
func anything(error) bool { return true }

func as[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

// dispositions is the table from error to action; the first line that applies counts. A wrong CRC closes only when
// it is one of maxWrongCRCs in a row.
var dispositions = []disposition{
	{applies: noFrame, result: "malformed", close: ReasonBadFrame, backoff: true,
		level: slog.LevelWarn, log: "frame boundaries lost"},
	{applies: is(teltonika.ErrLength), result: "malformed", close: ReasonBadFrame, backoff: true,
		level: slog.LevelWarn, log: "frame length out of range"},
	{applies: is(errBudget), result: "overflow", close: ReasonOverload,
		level: slog.LevelWarn, log: "too many large frames, connection closed"},
	{applies: is(teltonika.ErrCRC), result: "crc_fail", close: ReasonCRC, backoff: true,
		level: slog.LevelWarn, log: "wrong crc, frame not acknowledged"},
	{applies: as[*messageError], result: "malformed", deadLetter: "malformed",
		level: slog.LevelWarn, log: "message cannot be decoded"},
	{applies: is(teltonika.ErrUnknownCodec), result: "unknown_codec", deadLetter: "unknown_codec",
		close: ReasonUnknownCodec, backoff: true, level: slog.LevelWarn, log: "unknown codec, frame not acknowledged"},
	{applies: as[*teltonika.Error], result: "malformed", deadLetter: "malformed", answer: true,
		level: slog.LevelWarn, log: "frame cannot be decoded"},
	{applies: is(engine.ErrTooLarge), result: "publish_error", deadLetter: "too_large", answer: true,
		level: slog.LevelError, log: "record too large for the engine, frame kept as dead letter"},
	{applies: is(engine.ErrMovedOn), result: "publish_error", refused: "moved_on", close: ingest.ReasonTakenOver,
		level: slog.LevelInfo, log: "device has sent records elsewhere meanwhile, frame not acknowledged"},
	{applies: is(publish.ErrOverflow), result: "overflow", refused: "overflow",
		level: slog.LevelWarn, log: "publish queue full, frame not acknowledged"},
	{applies: is(errDatagramRate), result: "overflow", refused: "overflow",
		level: slog.LevelWarn, log: "too many records in datagrams, not acknowledged"},
	{applies: is(errUnlistedRate), result: "overflow", refused: "unlisted",
		level: slog.LevelWarn, log: "too many records of a device on no list, not acknowledged"},
	{applies: is(publish.ErrTimeout), result: "publish_error", refused: "timeout",
		level: slog.LevelError, log: "frame not stored in time, not acknowledged"},
	{applies: is(publish.ErrClosed), result: "publish_error", refused: "draining",
		level: slog.LevelInfo, log: "frame refused while stopping, not acknowledged"},
	{applies: is(errDeadLetterLimit), result: "malformed", refused: "dead_letters",
		level: slog.LevelWarn, log: "too many dead letters, frame not acknowledged"},
	{applies: anything, result: "publish_error", refused: unforeseen,
		level: slog.LevelError, log: "engine failed, frame not acknowledged"},
}

// unforeseen is why something was refused when no other reason applies: the engine failed.
const unforeseen = "engine"

func dispositionOf(err error) *disposition {
	i := slices.IndexFunc(dispositions, func(d disposition) bool { return d.applies(err) })
	return &dispositions[i] // the last one always applies
}

// DeadLetterReasons are all reasons that dead letters have.
func DeadLetterReasons() []string {
	reasons := []string{pipeline.ReasonTimestamp}
	for _, d := range dispositions {
		if d.deadLetter != "" {
			reasons = append(reasons, d.deadLetter)
		}
	}
	slices.Sort(reasons)
	return slices.Compact(reasons)
}

// dispose does what follows from a frame's end and returns why the connection closes, or nothing.
func (s *session) dispose(w *frameContext, err error) ingest.CloseReason {
	if err == nil {
		s.wrongCRCs = 0
		w.stats.frame(w.Codec, "ok")
		return ""
	}
	if write := (*writeError)(nil); errors.As(err, &write) {
		w.stats.frame(w.Codec, "ok") // stored; the device will send it again
		return s.writeFailed(write.error)
	}
	if cut := (*partial)(nil); errors.As(err, &cut) {
		return s.cutShort(cut, cut.error)
	}
	d := s.classify(&w.source, err)
	if d.deadLetter != "" {
		if reason := s.storeDeadLetter(w, d); reason != "" {
			return reason
		}
	}
	if !errors.Is(err, teltonika.ErrCRC) {
		s.wrongCRCs = 0
	} else if s.wrongCRCs++; s.wrongCRCs < maxWrongCRCs {
		return ""
	}
	if d.backoff {
		s.backoff.grow(s.loginSource(s.device.imei, false), time.Now())
	}
	return d.close
}

// storeDeadLetter stores the frame as a dead letter and acknowledges it if the disposition says so.
func (s *session) storeDeadLetter(w *frameContext, d *disposition) ingest.CloseReason {
	s.toDeadLetter(w, d)
	if w.Codec.IsMessage() {
		s.awaitDeadLetter(w)
		if err := s.keep(w, 1); err != nil {
			s.settle(&w.source, publish.Outcome{}, err)
		}
		return ""
	}
	w.mirrored = nil // the old platform need not understand what this one does not
	records := w.items
	outcome, err := s.store(w)
	if !s.settle(&w.source, outcome, err) || !d.answer {
		return ""
	}
	if err := s.ack(w, records); err != nil {
		return s.writeFailed(err)
	}
	return ""
}

// lost ends a connection on which something follows that is neither a frame nor a login.
func (s *session) lost(first []byte, err error) ingest.CloseReason {
	o := s.source()
	o.first = first
	d := s.classify(&o, foreign(first, err))
	s.backoff.grow(s.loginSource(o.DeviceID, false), time.Now())
	return d.close
}
