package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadletter"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/explain"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
)

// DeadLetters are those of the engine; a [deadletter.Desk] is one. Errors that are not named there are the engine's.
type DeadLetters interface {
	Each(ctx context.Context, s deadletter.Selection, fn func(deadletter.Letter) error) error
	Find(ctx context.Context, ref string) (deadletter.Letter, error)
	Replay(ctx context.Context, ref string) (publish.Outcome, error)
	Remove(ctx context.Context, ref string) (deadletter.Letter, error)
}

// How much of the dead letters is shown at once, and how long the engine may take.
const (
	maxDeadLetters    = 200
	someDeadLetters   = 50
	maxExplained      = 256 << 10 // bytes of text
	deadLetterTimeout = 30 * time.Second
)

// DeadLetterList is a page of dead letters, the oldest first.
type DeadLetterList struct {
	DeadLetters []deadletter.Listed `json:"dead_letters"`
	Next        string              `json:"next,omitempty"` // where the next page begins; empty at the end
}

// DeadLetter is one with its frame.
type DeadLetter struct {
	deadletter.Listed
	Frame     string `json:"frame"`     // hex
	Explained string `json:"explained"` // as the command decode does, cut off where it is very long
}

// Replayed is what a dead letter's replay has come to.
type Replayed struct {
	Published    int `json:"published"` // records
	Duplicates   int `json:"duplicates"`
	Messages     int `json:"messages"`
	DeadLettered int `json:"dead_lettered"` // records that stay, as a new dead letter
}

// onDeadLetters answers a request about dead letters, which may read many of them.
func (s *Server) onDeadLetters(answer func(context.Context, http.ResponseWriter, *http.Request) error) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if s.DeadLetters == nil {
			return problem(http.StatusNotImplemented, "the engine does not show its dead letters")
		}
		done, err := s.mayList()
		if err != nil {
			return err
		}
		defer done()
		ctx, cancel := context.WithTimeout(r.Context(), deadLetterTimeout)
		defer cancel()
		return answer(ctx, w, r)
	}
}

func (s *Server) listDeadLetters(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "device", "reason", "after", "limit")
	if err != nil {
		return err
	}
	limit, err := limitParameter(q, someDeadLetters, maxDeadLetters)
	if err != nil {
		return err
	}
	page := DeadLetterList{DeadLetters: []deadletter.Listed{}}
	selected := deadletter.Selection{
		DeviceID: q.Get("device"), Reason: q.Get("reason"), After: q.Get("after"), Limit: limit + 1,
	}
	err = s.DeadLetters.Each(ctx, selected, func(l deadletter.Letter) error {
		if len(page.DeadLetters) == limit {
			page.Next = page.DeadLetters[limit-1].Ref
			return nil
		}
		page.DeadLetters = append(page.DeadLetters, l.Listed())
		return nil
	})
	if err != nil {
		return s.deadLettersFailed("list", err)
	}
	writeJSON(w, http.StatusOK, page)
	return nil
}

func (s *Server) showDeadLetter(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	l, err := s.DeadLetters.Find(ctx, r.PathValue("ref"))
	if err != nil {
		return s.deadLettersFailed("show", err)
	}
	writeJSON(w, http.StatusOK, DeadLetter{l.Listed(), hex.EncodeToString(l.Frame), explained(&l)})
	return nil
}

// errLongEnough ends an explanation.
var errLongEnough = errors.New("long enough")

// shortText is a text that ends where it is long enough.
type shortText struct{ bytes.Buffer }

func (t *shortText) Write(b []byte) (int, error) {
	if t.Len()+len(b) > maxExplained {
		return 0, errLongEnough
	}
	return t.Buffer.Write(b)
}

// explained is the frame byte by byte.
func explained(l *deadletter.Letter) string {
	var text shortText
	var devices explain.Devices
	transport := cmp.Or(explain.Transport(l.Transport), explain.Auto)
	for packet := range devices.PacketsOf(l.DeviceID, l.Frame, transport) {
		if packet.WriteText(&text) != nil {
			text.Buffer.WriteString("…\n")
			break
		}
	}
	return text.String()
}

func (s *Server) replayDeadLetter(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	ref := r.PathValue("ref")
	outcome, err := s.DeadLetters.Replay(ctx, ref)
	if err != nil {
		return s.deadLettersFailed("replay", err)
	}
	s.Logger.Info("dead letter replayed", "ref", ref, "records", outcome.Published, "duplicates", outcome.Duplicates,
		"messages", outcome.Messages, "remote", r.RemoteAddr)
	writeJSON(w, http.StatusOK, Replayed{
		Published: outcome.Published, Duplicates: outcome.Duplicates, Messages: outcome.Messages,
		DeadLettered: outcome.DeadLettered,
	})
	return nil
}

func (s *Server) deleteDeadLetter(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	l, err := s.DeadLetters.Remove(ctx, r.PathValue("ref"))
	if err != nil {
		return s.deadLettersFailed("delete", err)
	}
	s.Logger.Info("dead letter deleted", "ref", l.Ref, "imei", l.DeviceID, "remote", r.RemoteAddr)
	writeJSON(w, http.StatusOK, l.Listed())
	return nil
}

// deadLettersFailed says why a dead letter stays as it is.
func (s *Server) deadLettersFailed(call string, err error) *Problem {
	var failed *engine.Error
	switch {
	case errors.Is(err, deadletter.ErrUnknown):
		return problem(http.StatusNotFound, "%v", err)
	case errors.Is(err, deadletter.ErrCursor):
		return problem(http.StatusGone, "%v", err)
	case errors.As(err, &failed), errors.Is(err, deadletter.ErrNotStored), errors.Is(err, deadletter.ErrNotRemoved),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		s.Logger.Error("dead letters cannot be worked with", "call", call, "error", err)
		return again("the engine does not answer, or does not store: " + err.Error())
	}
	return problem(http.StatusConflict, "it stays: %v", err)
}

// mayList takes one of the places for answers that read much.
func (s *Server) mayList() (done func(), err error) {
	select {
	case s.listing <- struct{}{}:
		return func() { <-s.listing }, nil
	default:
		return nil, again("too many lists at once: try again")
	}
}
