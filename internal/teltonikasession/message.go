package teltonikasession

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// message stores what a packet of Codec 12 to 15 says, apart from what answers a command. Nothing answers it, so
// nothing makes the device send it again: the connection is not read on before all of it is stored. Then an ACK of a
// later frame says that this is stored too.
func (s *session) message(w *frameContext) error {
	received := w.items
	s.withoutAnswers(w)
	for part := range slices.Chunk(w.packet.Messages, record.MaxMessages) {
		w.packet.Messages = part
		if err := s.allowUnlisted(w); err != nil {
			return err
		}
		if err := s.keep(w, len(part)); err != nil {
			return err
		}
	}
	if s.Logger.Enabled(context.Background(), slog.LevelDebug) {
		s.Logger.Debug("message received", "imei", w.DeviceID, "codec", w.Codec.String(), "messages", received)
	}
	return nil
}

// withoutAnswers leaves out the messages that answer a command. It waits a moment for the commands' store while a
// command is in flight.
func (s *session) withoutAnswers(w *frameContext) {
	written := s.device.yield()
	w.packet.Messages = slices.DeleteFunc(w.packet.Messages, func(m teltonika.Message) bool {
		c := command.Message{
			IMEI: w.DeviceID, Codec: w.Codec, Type: m.Type, Named: m.IMEI, Sent: m.Timestamp, Received: w.Received,
		}
		if !c.MayAnswer() {
			return false
		}
		c.Payload = bytes.Clone(m.Payload)
		return s.Commands.Message(&c, written)
	})
	answers := w.items - len(w.packet.Messages)
	w.stats.messagesAnswered(w.Codec, answers)
	w.items -= answers
	if answers > 0 {
		w.fate.outcome = tap.CommandAnswer
	}
}

// allowUnlisted waits until a device that is on no list may store the messages.
func (s *session) allowUnlisted(w *frameContext) error {
	for !s.unlisted.spend(&w.source, min(len(w.packet.Messages), 2*teltonika.MaxRecords), time.Now()) {
		if !s.conn.Lasts() || s.conn.Pause(maxKeepPause) != nil {
			return errUnlistedRate
		}
	}
	return nil
}

// awaitDeadLetter waits until the frame at hand may become a dead letter, or for deadLetterPatience.
func (s *session) awaitDeadLetter(w *frameContext) {
	until := time.Now().Add(deadLetterPatience)
	for w.mayDeadLetter(nil) != nil && time.Now().Before(until) && s.conn.Lasts() && s.conn.Pause(maxKeepPause) == nil {
		w.quotaAsked = false
	}
}

// detachedParts says which part of the queue what is left of connections that have ended may take, one in so many. It
// takes it only while the engine stores nothing.
const detachedParts = 2

// How long keep waits before it tries again: doubled from one to the other.
const (
	minKeepPause = 50 * time.Millisecond
	maxKeepPause = time.Second
)

// keep stores so many items of a packet that the device does not send again. It tries until they are stored, or until
// the connection has ended. Then the publisher keeps what is on its way, and w has the items no more.
func (s *session) keep(w *frameContext, items int) error {
	for pause := minKeepPause; ; pause = min(2*pause, maxKeepPause) {
		err := s.storeOrDetach(w, items)
		if err == nil || !cured(err) || !s.conn.Lasts() || s.conn.Pause(pause) != nil {
			return err
		}
	}
}

// storeOrDetach submits the items and waits for them while the connection lasts. Nothing is read of a connection that
// does not last, so nothing behind the items can be acknowledged before they are stored.
func (s *session) storeOrDetach(w *frameContext, items int) error {
	f, err := s.submit(w)
	if f == nil {
		return err
	}
	var outcome publish.Outcome
	settled := false
	if !w.detached {
		outcome, settled, err = s.Publisher.WaitWhile(f, s.conn.Lasts)
	}
	if !settled {
		if w.detached = s.Publisher.Detach(f, s.detached, s.settleLater(w, items)); w.detached {
			w.items -= items
			return nil
		}
		outcome, err = s.Publisher.Wait(f)
	}
	if err == nil {
		w.stored(outcome)
	}
	return err
}

// settleLater returns what counts so many items of the packet when its connection has ended.
func (a *Adapter) settleLater(w *frameContext, items int) func(publish.Outcome, error) {
	o := w.source
	o.items, o.first = items, nil
	return func(outcome publish.Outcome, err error) {
		if err == nil {
			o.stored(outcome)
			return
		}
		a.Logger.Error("message not stored, its connection has ended", "imei", o.DeviceID, "remote", remote{o.remote},
			"transport", o.stats.transport, "error", err)
		o.refuse(dispositionOf(err).refused)
	}
}

// cured reports whether what has not been stored may be if it is tried again.
func cured(err error) bool {
	return !errors.Is(err, publish.ErrClosed) && !errors.Is(err, publish.ErrTimeout) &&
		!errors.Is(err, errDeadLetterLimit) && !errors.Is(err, engine.ErrTooLarge)
}
