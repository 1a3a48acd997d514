package redisstore

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// sessionBatch is how many devices one script writes down: about a millisecond of Redis' time (go test -bench NoteAll).
const sessionBatch = 200

// session is what is to be known of a device's connection here.
type session struct {
	command.Connection
	gone bool
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

	mu        sync.Mutex
	noted     map[string]session
	written   map[string]uint64 // those that Redis may believe to be here, by the newest connection's number
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
// Redis was last told, or when noteAll asked.
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
	return batch
}

// done says that the batch is written. Those in again are to be written once more.
func (n *sessions) done(batch []session, again []any) {
	n.mu.Lock()
	for _, c := range batch {
		if c.gone && n.written[c.IMEI] <= c.Number {
			delete(n.written, c.IMEI)
		}
	}
	n.mu.Unlock()
	for _, imei := range again {
		for _, c := range batch {
			if c.IMEI == imei {
				n.note(c)
			}
		}
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
		args := make([]any, 0, 3*len(batch))
		for _, c := range batch {
			args = append(args, c.IMEI, s.sessionToken(c.Connection), flag(!c.gone))
		}
		again, err := s.eval(ctx, scriptSessions, args...)
		if err != nil {
			for _, c := range batch {
				n.note(c)
			}
			return err
		}
		n.done(batch, list(again))
	}
}

// sessionToken orders sessions, of all instances: by login, and those of one run by number. Its parts have a fixed
// width. The login is counted back from now, because this process' clock may have been set since.
func (s *Store) sessionToken(c command.Connection) string {
	login := time.Now().Add(s.sessions.offset).Add(-time.Since(c.Since))
	return fmt.Sprintf("%015d-%020d-%s", max(0, login.UnixMilli()), c.Number, s.runID)
}

// noteAll notes all that are connected, because Redis may have forgotten them. A connection that ends meanwhile stays
// noted as gone until this is over, and so is not brought back.
func (s *Store) noteAll(r command.Receiver) {
	n := &s.sessions
	n.writing.Lock()
	defer n.writing.Unlock()
	n.setNotingAll(true)
	defer n.setNotingAll(false)
	for c := range r.Connections() {
		n.note(session{Connection: c})
	}
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
