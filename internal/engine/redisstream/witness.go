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
// oldest entries of a stream that is still as long as it is meant to be. If that took the newest confirmed entry, then
// as many entries are gone as had been added with it; another stream under the same key lacks them. And the lane has
// been connected since to the server that had it: nobody knows what another one had.

// checkEvery is how often a stream is looked at that is trimmed and written to: so seldom that it costs nothing, and
// before it could be emptied by somebody and grow to its length again.
const checkEvery = time.Second

// witness is what a lane knows of a stream.
type witness struct {
	movable bool  // the stream may be at another node of a cluster by now
	limit   int64 // the length below which the engine does not trim; 0 = no trimming by it that is no loss
	room    *room // for whose bytes it trims as well; nil = not
	epoch   uint64
	seen    streamState // at the last check
	checked time.Time
	place   int64    // how many entries had been added together with the newest one confirmed, at least
	asked   streamID // the newest entry confirmed, as this check asks for it; zero = none
	askedAt int64    // its place
	gone    bool     // the newest one confirmed is gone, and asked is another one
	moved   bool     // the connection is another one than at the last check
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
	bounded := w.limit > 0 || w.room != nil
	return known || written && (w.seen.first == streamID{} || bounded && now.Sub(w.checked) >= checkEvery)
}

// appendCheck appends the questions.
func (p *position) appendCheck(out []byte, now time.Time) []byte {
	p.checked = now
	p.asked, _ = parseStreamID(string(p.newest))
	p.askedAt = p.place
	if p.asked != (streamID{}) {
		out = appendCommand(out, "XRANGE", p.key, p.asked.String(), p.asked.String())
	}
	return appendCommand(out, "XINFO", "STREAM", p.key)
}

// confirmed notes that Redis has answered with the id of an entry.
func (p *position) confirmed(id []byte) {
	p.newest = append(p.newest[:0], id...)
	p.place = max(p.place, p.seen.added) + 1
}

// readCheck reads the answers, and begins another epoch if something is lost or Redis does not tell.
func (w *witness) readCheck(r *bufio.Reader) error {
	there, told := true, true
	if w.asked != (streamID{}) {
		answer, err := readReply(r)
		if err != nil {
			return err
		}
		if moved, ok := asRefusal(answer.err()); ok && w.movable && moved.elsewhere() {
			return moved
		}
		told = answer.kind == '*'
		there = answer.n > 0
		if err := skipElements(r, answer); err != nil {
			return err
		}
	}
	now, known, err := readState(r, w.movable)
	if err != nil {
		return err
	}
	lost := w.lost(now, there) || w.gone
	if lost {
		w.place = 0
	}
	if w.epoch == 0 || !told || !known || lost {
		w.epoch++
	}
	w.seen, w.moved, w.gone = now, false, false
	return nil
}

// lost reports whether entries are gone that were there at the last check or have come since. newest says whether the
// newest one that was confirmed is there.
func (w *witness) lost(now streamState, newest bool) bool {
	meant := w.limit > 0 && now.length >= w.limit || w.room != nil && w.room.full()
	trimmed := meant && lower(w.seen.first, now.first) != now.first
	switch {
	case now.added < w.seen.added || now.deleted != w.seen.deleted:
		return true
	case !newest:
		return !trimmed || w.moved || lower(w.asked, now.first) == now.first ||
			now.added >= 0 && now.added-now.length < w.askedAt
	case w.seen.first == streamID{}:
		return false // there was nothing, and each batch since has looked
	case now.first != w.seen.first:
		return !trimmed
	case now.added >= 0:
		return now.added-now.length != w.seen.added-w.seen.length
	}
	return now.length < w.seen.length
}

// readState reads the answer to XINFO STREAM. known is false if Redis does not let us see. movable as in witness.
func readState(r *bufio.Reader, movable bool) (s streamState, known bool, err error) {
	s.added = -1
	answer, err := readReply(r)
	if err != nil {
		return s, false, err
	}
	if refused := answer.err(); refused != nil {
		if r, _ := asRefusal(refused); r.transient() || movable && r.elsewhere() {
			return s, false, refused // as while Redis loads its data: it is asked again, with the batch
		}
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
