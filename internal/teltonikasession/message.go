package teltonikasession

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// message stores what a packet of Codec 12 to 15 says, apart from what answers a command. Nothing answers it,
// so nothing makes the device send it again: the connection is not read on before all of it is stored. Then an
// ACK of a later frame says that this is stored too.
func (s *session) message(w *work) error {
	packet, err := decodeMessages(w)
	if err != nil {
		return err
	}
	left, reason := len(packet.Messages), unforeseen
	w.figures.messagesReceived(w.codec, left)
	defer func() { // also if a bug makes a step panic
		w.figures.messagesRefused(w.codec, reason, left)
	}()
	data := s.withoutAnswers(w, packet.Messages)
	w.figures.messagesAnswered(w.codec, left-len(data))
	left = len(data)
	for part := range slices.Chunk(data, record.MaxMessages) {
		outcome, err := publish.Outcome{}, s.allowUnlisted(w, len(part))
		if err == nil {
			outcome, err = s.keep(w, len(part), fillMessages(part))
		}
		if err != nil {
			reason = verdictOn(err).refused
			return err
		}
		w.figures.messagesStored(w.codec, outcome.Messages)
		left -= len(part)
	}
	if s.Logger.Enabled(context.Background(), slog.LevelDebug) {
		s.Logger.Debug("message received", "imei", w.imei, "codec", w.codec.String(), "messages", len(packet.Messages))
	}
	return nil
}

func decodeMessages(w *work) (teltonika.Messages, error) {
	w.data.Count = 0 // there are no records
	var packet teltonika.Messages
	if err := packet.Decode(w.body); err != nil {
		return packet, &messageError{teltonika.Shift(err, w.offset)}
	}
	return packet, nil
}

// withoutAnswers are the messages that answer no command. It waits a moment for the commands' store while a
// command is in flight.
func (s *session) withoutAnswers(w *work, messages []teltonika.Message) []teltonika.Message {
	written := s.line.yield()
	return slices.DeleteFunc(messages, func(m teltonika.Message) bool {
		c := command.Message{
			IMEI: w.imei, Codec: w.codec, Type: m.Type, Named: m.IMEI, Sent: m.Timestamp, Received: w.received,
		}
		if !c.MayAnswer() {
			return false
		}
		c.Payload = bytes.Clone(m.Payload)
		return s.Commands.Message(&c, written)
	})
}

// fillMessages returns what puts the messages into a frame, however often it is tried.
func fillMessages(messages []teltonika.Message) func(*publish.Frame, *work) error {
	return func(f *publish.Frame, w *work) error {
		o := record.Origin{DeviceID: w.imei, Codec: w.codec, Received: w.received}
		f.Buffer, f.Messages = record.AppendMessages(f.Buffer, f.Messages, o, messages)
		return nil
	}
}

// allowUnlisted waits until a device that is on no list may store so many messages.
func (s *session) allowUnlisted(w *work, n int) error {
	for !s.unlisted.take(&w.origin, min(n, 2*maxRecords), time.Now()) {
		if !s.conn.Lasts() || s.conn.Pause(maxKeepPause) != nil {
			return errUnlistedRate
		}
	}
	return nil
}

// How long keep waits before it tries again: doubled from one to the other.
const (
	minKeepPause = 50 * time.Millisecond
	maxKeepPause = time.Second
)

// keep is store for what the device does not send again. It tries until everything is stored, or until the
// connection has ended and the publish timeout has passed.
func (s *session) keep(w *work, n int, fill func(*publish.Frame, *work) error) (publish.Outcome, error) {
	for pause := minKeepPause; ; pause = min(2*pause, maxKeepPause) {
		f, err := s.admit(w, n, fill)
		if err == nil {
			err = s.Publisher.Submit(f)
		}
		var outcome publish.Outcome
		if err == nil {
			outcome, err = s.Publisher.WaitWhile(f, s.conn.Lasts)
		}
		if err == nil || !cured(err) || !s.conn.Lasts() || s.conn.Pause(pause) != nil {
			return outcome, err
		}
	}
}

// cured reports whether what has not been stored may be if it is tried again.
func cured(err error) bool {
	return !errors.Is(err, publish.ErrClosed) && !errors.Is(err, publish.ErrTimeout) && !errors.Is(err, errDeadLetterLimit)
}
