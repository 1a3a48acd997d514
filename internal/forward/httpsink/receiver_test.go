package httpsink

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver is a server that keeps what it accepts. Its methods may be used while it serves.
type receiver struct {
	*httptest.Server

	mu       sync.Mutex
	answer   func(w http.ResponseWriter, ids []string) // nil: 200
	requests []*http.Request                           // all of them; their bodies have been read
	bodies   [][]byte                                  // as they came
	accepted []string                                  // ids
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(r)
	t.Cleanup(func() { r.Close() }) // the one that there is by then
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	raw, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	ids, err := decode(q.Header, raw)
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests, r.bodies = append(r.requests, q), append(r.bodies, raw)
	status := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	if r.answer != nil {
		r.answer(status, ids)
	}
	if status.status/100 == 2 {
		r.accepted = append(r.accepted, ids...)
	}
}

// statusWriter notes what is answered.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// decode returns the ids of the records in a body.
func decode(h http.Header, raw []byte) (ids []string, err error) {
	if h.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytesReader(raw))
		if err != nil {
			return nil, err
		}
		if raw, err = io.ReadAll(z); err != nil {
			return nil, err
		}
	}
	var records []struct{ ID string }
	if err := json.Unmarshal(raw, &records); err != nil {
		return nil, err
	}
	for _, r := range records {
		ids = append(ids, r.ID)
	}
	return ids, nil
}

// answers sets what is answered from now on.
func (r *receiver) answers(answer func(w http.ResponseWriter, ids []string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// got are the ids that have been accepted, and how many requests there were.
func (r *receiver) got() (ids []string, requests int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.accepted), len(r.requests)
}

// last is the last request and its body.
func (r *receiver) last() (*http.Request, []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests[len(r.requests)-1], r.bodies[len(r.bodies)-1]
}

// aside is what a sink has refused.
type aside struct {
	ids     []string
	reasons []string
	err     error // of the next refusals
}

func (a *aside) refuse(reason string, items ...forward.Item) error {
	if a.err != nil {
		return a.err
	}
	a.ids, a.reasons = append(a.ids, idsOf(items)...), append(a.reasons, reason)
	return nil
}

func idsOf(items []forward.Item) (ids []string) {
	for _, item := range items {
		ids = append(ids, item.ID)
	}
	return ids
}

// records are numbered from first.
func records(first, count int) (items []forward.Item) {
	for i := first; i < first+count; i++ {
		id := fmt.Sprintf("%06d", i)
		items = append(items, forward.Item{ID: id, DeviceID: fmt.Sprint("d", i%7), Codec: "8E",
			Payload: fmt.Appendf(nil, `{"id":%q,"device_id":"d%d","speed":%d}`, id, i%7, i)})
	}
	return items
}

func newSink(t *testing.T, o Options) (*Sink, *aside) {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	a := &aside{}
	s, err := New(o, a.refuse)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, a
}

// untilDelivered tries a batch again until it is delivered, and returns how often that was.
func untilDelivered(t *testing.T, s forward.Sink, batch []forward.Item) (failures int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for ; ; failures++ {
		err := s.Deliver(ctx, batch)
		switch {
		case err == nil:
			return failures
		case ctx.Err() != nil || errors.Is(err, forward.ErrPermanent):
			t.Fatalf("after %d failures: %v", failures, err)
		}
	}
}
