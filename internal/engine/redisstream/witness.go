package redisstream

import (
	"bufio"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Whoever remembers what was stored has to hear when it is gone: after FLUSHALL, DEL, XDEL or XTRIM, an eviction, a
// restart without the newest entries, or at another server. A lane asks for the stream itself, behind its batch: for
// the newest entry that was confirmed to it, before which Redis loses nothing as long as that is there, and for what
// XINFO STREAM counts, by which it notices what was removed. What the engine's own trimming removes is not lost: the
// oldest entries of a stream that is still as long as it is meant to be.

// checkEvery is how often a stream is looked at that is trimmed and written to: so seldom that it costs nothing, and
// before it could be emptied by somebody and grow to its length again.
const checkEvery = time.Second

// witness is what a lane knows of a stream.
type witness struct {
	limit   int64 // the length below which the engine does not trim; 0 = no trimming that is no loss
	epoch   uint64
	seen    streamState // at the last check
	checked time.Time
	asked   streamID // the newest entry confirmed, as this check asks for it; zero = none
}

// streamState is what XINFO STREAM says.
type streamState struct {
	length  int64
	added   int64    // entries in all, with those removed; -1 = not known, as before Redis 7
	first   streamID // the oldest entry; zero = there is none
	deleted streamID // the highest one that XDEL has removed; zero = none, or not known
}

// due reports whether the stream is to be looked at together with a batch.
func (w *witness) due(known, written bool, now time.Time) bool {
	return known || written && (w.seen.first == streamID{} || w.limit > 0 && now.Sub(w.checked) >= checkEvery)
}

// appendCheck appends the questions.
func (p *position) appendCheck(out []byte, now time.Time) []byte {
	p.checked = now
	p.asked, _ = parseStreamID(string(p.newest))
	if p.asked != (streamID{}) {
		out = appendCommand(out, "XRANGE", p.key, p.asked.String(), p.asked.String())
	}
	return appendCommand(out, "XINFO", "STREAM", p.key)
}

// readCheck reads the answers, and begins another epoch if something is lost or Redis does not tell.
func (w *witness) readCheck(r *bufio.Reader) error {
	there, told := true, true
	if w.asked != (streamID{}) {
		answer, err := readReply(r)
		if err != nil {
			return err
		}
		told = answer.kind == '*'
		there = answer.n > 0
		if err := skipElements(r, answer); err != nil {
			return err
		}
	}
	now, known, err := readState(r)
	if err != nil {
		return err
	}
	if w.epoch == 0 || !told || !known || w.lost(now, there) {
		w.epoch++
	}
	w.seen = now
	return nil
}

// lost reports whether entries are gone that were there at the last check or have come since. newest says whether the
// newest one that was confirmed is there.
func (w *witness) lost(now streamState, newest bool) bool {
	trimmed := w.limit > 0 && now.length >= w.limit && lower(w.seen.first, now.first) != now.first
	switch {
	case now.added < w.seen.added || now.deleted != w.seen.deleted:
		return true
	case !newest:
		return !trimmed || lower(w.asked, now.first) == now.first
	case w.seen.first == streamID{}:
		return false // there was nothing, and each batch since has looked
	case now.first != w.seen.first:
		return !trimmed
	case now.added >= 0:
		return now.added-now.length != w.seen.added-w.seen.length
	}
	return now.length < w.seen.length
}

// readState reads the answer to XINFO STREAM. known is false if Redis does not let us see.
func readState(r *bufio.Reader) (s streamState, known bool, err error) {
	s.added = -1
	answer, err := readReply(r)
	if err != nil {
		return s, false, err
	}
	if refused := answer.err(); refused != nil {
		return s, refused == refusal("ERR no such key"), nil
	}
	for range answer.n / 2 {
		name, err := readReply(r)
		if err != nil {
			return s, false, err
		}
		if err := s.readField(r, string(name.text)); err != nil {
			return s, false, err
		}
	}
	return s, answer.kind == '*', nil
}

// readField reads the value behind a name.
func (s *streamState) readField(r *bufio.Reader, name string) error {
	value, err := readReply(r)
	if err != nil {
		return err
	}
	switch name {
	case "length":
		s.length = value.n
	case "entries-added":
		s.added = value.n
	case "max-deleted-entry-id":
		s.deleted, err = parseStreamID(string(value.text))
		return err
	case "first-entry":
		if value.kind != '*' || value.n < 1 {
			return nil
		}
		id, err := readReply(r)
		if err != nil {
			return err
		}
		if s.first, err = parseStreamID(string(id.text)); err != nil {
			return err
		}
		value.n-- // the id is read
	}
	return skipElements(r, value)
}

// positions are where the lane has got to in each kind's stream.
func (l *lane) positions() [engine.Kinds]*position {
	return [engine.Kinds]*position{&l.records, &l.deadLetters, &l.messages}
}
