package redisstore

import (
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// sessionBatch is how many devices one script writes down: a millisecond of Redis' time (go test -bench WriteAll).
const sessionBatch = 200

// session is what is to be known of a device's connection here.
type session struct {
	command.Connection
	gone    bool
	doubted bool // Redis has a newer one elsewhere, unless our idea of its clock was wrong
}

// supersedes reports whether nothing that is said of the other one matters any more. That a connection has gone is
// final.
func (c *session) supersedes(other *session) bool {
	return c.Number > other.Number || c.Number == other.Number && (c.gone || !other.gone)
}

// sessions are the devices whose connections Redis does not know as they are, and those of which it may know something.
type sessions struct {
	writing sync.Mutex    // held while some are written, so that they are written in the order in which they came to be
	offset  time.Duration // of Redis' clock; under writing
	text    []byte        // the batch as the script reads it; under writing, reused

	mu        sync.Mutex
	noted     map[string]session
	written   map[string]uint64 // those that Redis may believe to be here, by the newest connection's number
	takenOver []session         // that have a newer one elsewhere, and are to be closed
	notingAll bool              // somebody may be about to note what has ended meanwhile
	wake      chan struct{}
}

func newSessions() sessions {
	return sessions{noted: map[string]session{}, written: map[string]uint64{}, wake: make(chan struct{}, 1)}
}

// Connected implements command.Store.
func (s *Store) Connected(c command.Connection) { s.sessions.note(session{Connection: c}) }

// Disconnected implements command.Store.
func (s *Store) Disconnected(c command.Connection) {
	s.sessions.note(session{Connection: c, gone: true})
}

// note takes down what is to be written. It needs no more room than there are devices that are connected, or were when
// Redis was last told, or when expectAll asked.
func (n *sessions) note(c session) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if other, ok := n.noted[c.IMEI]; ok && !c.supersedes(&other) {
		return
	}
	if c.gone {
		switch newest, known := n.written[c.IMEI]; {
		case !known && !n.notingAll:
			delete(n.noted, c.IMEI)
			return
		case newest > c.Number:
			return
		}
	}
	n.noted[c.IMEI] = c
	signal(n.wake)
}

// nextBatch returns some of what is to be written, and counts on it being written.
func (n *sessions) nextBatch() []session {
	n.mu.Lock()
	defer n.mu.Unlock()
	batch := make([]session, 0, min(len(n.noted), sessionBatch))
	for imei, c := range n.noted {
		if len(batch) == sessionBatch {
			break
		}
		batch = append(batch, c)
		delete(n.noted, imei)
		if !c.gone {
			n.written[imei] = max(n.written[imei], c.Number)
		}
	}
	if len(n.noted) == 0 {
		n.noted = map[string]session{} // without the memory that a wave of logins took
	}
	return batch
}

// done says that the batch is written. Those in again are to be written once more, and those in lost have a newer one
// elsewhere. It reports whether the latter is in doubt: it rests on our idea of Redis' clock, so one session is lost
// twice before it is believed, the second time by a clock that is read in between.
func (n *sessions) done(batch []session, again, lost []any) (doubted bool) {
	n.mu.Lock()
	for _, c := range batch {
		if c.gone && n.written[c.IMEI] <= c.Number {
			delete(n.written, c.IMEI)
		}
	}
	n.mu.Unlock()
	for _, c := range batch {
		switch {
		case slices.Contains(again, any(c.IMEI)):
			n.note(c)
		case !slices.Contains(lost, any(c.IMEI)):
		case c.doubted:
			n.noteTakenOver(c)
		default:
			c.doubted, doubted = true, true
			n.note(c)
		}
	}
	return doubted
}

func (n *sessions) noteTakenOver(c session) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.takenOver = append(n.takenOver, c)
	signal(n.wake)
}

// closeTakenOver has the receiver close the connections that are older than one elsewhere.
func (n *sessions) closeTakenOver(r command.Receiver) {
	n.mu.Lock()
	all := n.takenOver
	n.takenOver = nil
	n.mu.Unlock()
	for _, c := range all {
		r.TakenOver(c.IMEI, c.Number)
	}
}

// writeSessions makes known everything that is noted.
func (s *Store) writeSessions(ctx context.Context) error {
	n := &s.sessions
	n.writing.Lock()
	defer n.writing.Unlock()
	for {
		batch := n.nextBatch()
		if len(batch) == 0 {
			return nil
		}
		if err := s.write(ctx, batch); err != nil {
			for _, c := range batch {
				n.note(c)
			}
			return err
		}
	}
}

// writeAll makes known all that are connected, because Redis may have forgotten them. What ends meanwhile is noted, and
// so not brought back for longer than until that is written. After an error nobody knows what is written.
func (s *Store) writeAll(ctx context.Context, r command.Receiver) error {
	n := &s.sessions
	n.writing.Lock()
	defer n.writing.Unlock()
	batch := make([]session, 0, sessionBatch)
	for c := range n.expectAll(r) {
		if len(batch) == sessionBatch {
			if err := s.write(ctx, batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
		batch = append(batch, session{Connection: c})
	}
	return s.write(ctx, batch)
}

// write makes the batch known. n.writing is held.
func (s *Store) write(ctx context.Context, batch []session) error {
	if len(batch) == 0 {
		return nil
	}
	n := &s.sessions
	n.text = n.text[:0]
	for _, c := range batch {
		n.text = s.appendSession(n.text, c)
	}
	answer, err := s.eval(ctx, scriptSessions, n.text)
	if err != nil {
		return err
	}
	if all := list(answer); len(all) == 2 && n.done(batch, list(all[0]), list(all[1])) {
		n.offset, err = s.clockOffset(ctx)
	}
	return err
}

// appendSession appends what the script reads of a session. All sessions are one text: as arguments of their own they
// would be most of the garbage of a server with many connections. No IMEI has a space.
func (s *Store) appendSession(text []byte, c session) []byte {
	text = append(append(text, c.IMEI...), ' ')
	text = append(s.appendToken(text, c.Connection), ' ')
	return append(append(text, flag(!c.gone)...), ' ')
}

// appendToken appends what orders sessions, of all instances: by login, and those of one run by number. Its parts have
// a fixed width. The login is counted back from now, because this process' clock may have been set since.
func (s *Store) appendToken(text []byte, c command.Connection) []byte {
	login := time.Now().Add(s.sessions.offset).Add(-time.Since(c.Since))
	return fmt.Appendf(text, "%015d-%020d-%s", max(0, login.UnixMilli()), c.Number, s.runID)
}

// parseToken returns the number of the session's connection and its run.
func parseToken(token string) (number uint64, run string, ok bool) {
	parts := strings.Split(token, "-")
	if len(parts) != 3 {
		return 0, "", false
	}
	number, err := strconv.ParseUint(parts[1], 10, 64)
	return number, parts[2], err == nil
}

// takenOver does what an entry says that another instance has left: the device has logged in there.
func (s *Store) takenOver(ctx context.Context, r command.Receiver, stream, entry string, in *inbound) error {
	if number, run, ok := parseToken(in.older); ok && run == s.runID {
		r.TakenOver(in.IMEI, number)
	}
	_, err := s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.XAck(ctx, stream, group, entry)
		pipe.XDel(ctx, stream, entry)
		return nil
	})
	return err
}

// expectAll returns all that are connected, and counts on them being written: the end of one is noted from now on.
func (n *sessions) expectAll(r command.Receiver) iter.Seq[command.Connection] {
	n.setNotingAll(true)
	defer n.setNotingAll(false)
	all := r.Connections()
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range all {
		n.written[c.IMEI] = max(n.written[c.IMEI], c.Number)
	}
	return all
}

func (n *sessions) setNotingAll(is bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notingAll = is
}

// noteAllGone notes all that Redis may believe to be here as gone.
func (n *sessions) noteAllGone() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.noted)
	for imei := range n.written {
		n.noted[imei] = session{Connection: command.Connection{IMEI: imei, Number: math.MaxUint64}, gone: true}
	}
}
