package httpsink

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/secret"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tlsclient"
)

func bytesReader(b []byte) io.Reader { return strings.NewReader(string(b)) }

func TestDelivers(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		if err := os.WriteFile(token, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first-token\nnot this\n")
	r := newReceiver(t)
	for _, zip := range []bool{false, true} {
		s, _ := newSink(t, Options{URL: r.URL + "/in?of=fleet", Gzip: zip, Token: secret.Text{File: token},
			Header: "X-Of: a b"})
		batch := records(0, 20)
		if err := s.Deliver(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		q, body := r.last()
		ids, err := decode(q.Header, body)
		if err != nil || !slices.Equal(ids, idsOf(batch)) {
			t.Errorf("gzip %v: %v, %v", zip, ids, err)
		}
		h := q.Header
		if q.Method != "POST" || q.URL.String() != "/in?of=fleet" || h.Get("Content-Type") != "application/json" ||
			h.Get("X-Of") != "a b" || h.Get("Authorization") != "Bearer first-token" ||
			h.Get("Content-Encoding") == "gzip" != zip || !strings.HasPrefix(h.Get(headerID), "batch_") ||
			h.Get(headerSignature) != "" {
			t.Errorf("gzip %v: %s %s %v", zip, q.Method, q.URL, h)
		}
	}
	s, _ := newSink(t, Options{URL: r.URL, Token: secret.Text{File: token}})
	write("second-token")
	if err := s.Deliver(t.Context(), records(0, 1)); err != nil {
		t.Fatal(err)
	}
	if q, _ := r.last(); q.Header.Get("Authorization") != "Bearer second-token" {
		t.Error("a changed token is not read again")
	}
	write("\n")
	if err := s.Deliver(t.Context(), records(0, 1)); err == nil {
		t.Error("it goes on without its token")
	}
}

// TestFailuresPass: whatever is not about the records is tried again with the same id, and nothing is put aside.
func TestFailuresPass(t *testing.T) {
	r := newReceiver(t)
	s, aside := newSink(t, Options{URL: r.URL})
	statuses := []int{500, 502, 503, 504, 599, 408, 425, 429, 401, 402, 403, 404, 405, 407, 410, 415, 421, 423,
		426, 428, 431, 304, 302, 200}
	calls := 0
	r.answers(func(w http.ResponseWriter, _ []string) {
		w.Header().Set("Location", r.URL+"/elsewhere")
		w.WriteHeader(statuses[calls])
		calls++
	})
	batch := records(0, 10)
	if failures := untilDelivered(t, s, batch); failures != len(statuses)-1 || len(aside.ids) > 0 {
		t.Errorf("%d failures, put aside: %v", failures, aside.reasons)
	}
	for _, q := range r.requests {
		if q.URL.Path != "/" || q.Header.Get(headerID) != r.requests[0].Header.Get(headerID) {
			t.Errorf("%s %s", q.URL, q.Header.Get(headerID))
		}
	}
	if got, _ := r.got(); !slices.Equal(got, idsOf(batch)) {
		t.Errorf("accepted %v", got)
	}
	r.answers(nil)
	if err := s.Deliver(t.Context(), records(10, 10)); err != nil {
		t.Fatal(err)
	}
	if q, _ := r.last(); q.Header.Get(headerID) == r.requests[0].Header.Get(headerID) {
		t.Error("another batch has the same id")
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, "-1": 0, "x": 0, "1e9": 0, "99999999999999999999": 0,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:04 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
	r := newReceiver(t)
	s, _ := newSink(t, Options{URL: r.URL})
	r.answers(func(w http.ResponseWriter, _ []string) {
		w.Header().Set("Retry-After", "17")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	var retry *forward.RetryError
	if err := s.Deliver(t.Context(), records(0, 1)); !errors.As(err, &retry) || retry.After != 17*time.Second {
		t.Errorf("%v", err)
	}
}

// TestOnlyWhatIsRefusedIsPutAside: the server refuses batches for single records.
func TestOnlyWhatIsRefusedIsPutAside(t *testing.T) {
	r := newReceiver(t)
	s, aside := newSink(t, Options{URL: r.URL})
	bad := []string{"000003", "000004", "000077", "000099"}
	r.answers(func(w http.ResponseWriter, ids []string) {
		if slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(bad, id) }) {
			http.Error(w, "unknown \x1b[31mfield", http.StatusUnprocessableEntity)
		}
	})
	batch := records(0, 100)
	if err := s.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	good := slices.DeleteFunc(idsOf(batch), func(id string) bool { return slices.Contains(bad, id) })
	got, requests := r.got()
	if !slices.Equal(aside.ids, bad) || !slices.Equal(got, good) || requests > 60 {
		t.Errorf("put aside %v, accepted %v in %d requests", aside.ids, got, requests)
	}
	if want := `HTTP 422: unknown \u001b[31mfield`; aside.reasons[0] != want {
		t.Errorf("the reason is %q, want %q", aside.reasons[0], want)
	}
}

// TestServerThatRefusesWholeBatch is not asked for every record, and loses none.
func TestServerThatRefusesWholeBatch(t *testing.T) {
	r := newReceiver(t)
	s, aside := newSink(t, Options{URL: r.URL})
	accept(t, s)
	r.answers(func(w http.ResponseWriter, _ []string) { w.WriteHeader(http.StatusBadRequest) })
	batch := records(0, 5000)
	if err := s.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if _, requests := r.got(); !slices.Equal(aside.ids, idsOf(batch)) || requests > 2*maxSplits+2 {
		t.Errorf("%d put aside in %d requests", len(aside.ids), requests)
	}
}

// accept has the server accept a batch, as it does in general.
func accept(t *testing.T, s *Sink) {
	t.Helper()
	if err := s.Deliver(t.Context(), records(900000, 1)); err != nil {
		t.Fatal(err)
	}
}

// TestServerThatAcceptsNothing is waited for, from the start or after some batches, and then gets everything.
func TestServerThatAcceptsNothing(t *testing.T) {
	r := newReceiver(t)
	s, aside := newSink(t, Options{URL: r.URL})
	refuseAll := func(w http.ResponseWriter, _ []string) {
		http.Error(w, "The SSL certificate error", http.StatusBadRequest)
	}
	wantWaits := func(batch []forward.Item, put int) {
		t.Helper()
		for range 3 {
			err := s.Deliver(t.Context(), batch)
			if err == nil || !strings.Contains(err.Error(), "SSL certificate") || len(aside.ids) != put {
				t.Fatalf("%v, %d put aside, want %d", err, len(aside.ids), put)
			}
		}
	}
	r.answers(refuseAll)
	wantWaits(records(0, 4), 0)
	r.answers(nil)
	if err := s.Deliver(t.Context(), records(0, 4)); err != nil {
		t.Fatal(err)
	}
	r.answers(refuseAll)
	for i := range mostRefused {
		if err := s.Deliver(t.Context(), records(10*i+10, 4)); err != nil {
			t.Fatal(err)
		}
	}
	wantWaits(records(500, 4), 4*mostRefused)
	r.answers(nil)
	if err := s.Deliver(t.Context(), records(500, 4)); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.got(); !slices.Equal(got, append(idsOf(records(0, 4)), idsOf(records(500, 4))...)) {
		t.Errorf("accepted %v", got)
	}
}

// TestTooLarge: a batch that is too large is split, the next one is not too large, and a record that is too large alone
// is put aside.
func TestTooLarge(t *testing.T) {
	r := newReceiver(t)
	s, aside := newSink(t, Options{URL: r.URL})
	refusals := 0
	r.answers(func(w http.ResponseWriter, ids []string) {
		if len(ids) > 10 || slices.Contains(ids, "000105") {
			refusals++
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
	})
	first, second := records(0, 100), records(100, 100)
	if err := s.Deliver(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.got(); !slices.Equal(got, idsOf(first)) || len(aside.ids) > 0 {
		t.Fatalf("accepted %v, put aside %v", got, aside.ids)
	}
	refusals = 0
	if err := s.Deliver(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	got, _ := r.got()
	if len(got) != 199 || !slices.IsSorted(got) || !slices.Equal(aside.ids, []string{"000105"}) || refusals > 30 {
		t.Errorf("accepted %d, put aside %v, after %d refusals", len(got), aside.ids, refusals)
	}
}

// TestGoesOnWhereItWas: of a batch that is tried again only that is sent which was not done.
func TestGoesOnWhereItWas(t *testing.T) {
	r := newReceiver(t)
	s, aside := newSink(t, Options{URL: r.URL})
	down := true
	r.answers(func(w http.ResponseWriter, ids []string) {
		switch {
		case slices.Contains(ids, "000002"):
			w.WriteHeader(http.StatusBadRequest)
		case down && slices.Contains(ids, "000009"):
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	batch := records(0, 16)
	for range 3 {
		if err := s.Deliver(t.Context(), batch); err == nil {
			t.Fatal("it is delivered")
		}
	}
	r.mu.Lock()
	down = false
	r.mu.Unlock()
	if err := s.Deliver(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if got, _ := r.got(); !slices.Equal(got, append(idsOf(batch[:2]), idsOf(batch[3:])...)) ||
		!slices.Equal(aside.ids, []string{"000002"}) {
		t.Errorf("accepted %v, put aside %v", got, aside.ids)
	}
}

// TestWhatCannotBePutAside is tried again.
func TestWhatCannotBePutAside(t *testing.T) {
	r := newReceiver(t)
	s, aside := newSink(t, Options{URL: r.URL})
	accept(t, s)
	r.answers(func(w http.ResponseWriter, ids []string) { w.WriteHeader(http.StatusBadRequest) })
	aside.err = errors.New("disk full")
	batch := records(0, 2)
	for range 2 {
		if err := s.Deliver(t.Context(), batch); !errors.Is(err, aside.err) {
			t.Errorf("it is delivered: %v", err)
		}
	}
	aside.err = nil
	if err := s.Deliver(t.Context(), batch); err != nil || !slices.Equal(aside.ids, idsOf(batch)) {
		t.Errorf("%v, put aside %v", err, aside.ids)
	}
}

// TestServerRestarts: connections that the server has closed fail nothing, and a server that is down is waited for.
func TestServerRestarts(t *testing.T) {
	r := newReceiver(t)
	s, aside := newSink(t, Options{URL: r.URL})
	var want []string
	for i := range 20 {
		batch := records(i*10, 10)
		if i%5 == 4 {
			address := r.Listener.Addr().String()
			r.Close()
			if err := s.Deliver(t.Context(), batch); err == nil {
				t.Fatal("delivered to nobody")
			}
			r.Server = httptest.NewUnstartedServer(r)
			_ = r.Listener.Close()
			r.Listener = listen(t, address)
			r.Start()
		} else if i%5 == 2 {
			r.CloseClientConnections()
		}
		untilDelivered(t, s, batch)
		want = append(want, idsOf(batch)...)
	}
	if got, _ := r.got(); !slices.Equal(got, want) || len(aside.ids) > 0 {
		t.Errorf("accepted %v, put aside %v", got, aside.ids)
	}
}

func TestTLS(t *testing.T) {
	c := testkit.NewCertificates(t)
	r := newReceiver(t)
	secure := httptest.NewUnstartedServer(r)
	secure.TLS = serverTLS(t, c)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	for name, files := range map[string]tlsclient.Files{
		"no authority": {Cert: c.Cert, Key: c.Key}, "no certificate": {CA: c.CA},
	} {
		s, _ := newSink(t, Options{URL: secure.URL, TLS: files})
		if err := s.Deliver(t.Context(), records(0, 1)); err == nil {
			t.Errorf("%s: delivered", name)
		}
	}
	s, _ := newSink(t, Options{URL: secure.URL, TLS: tlsclient.Files{CA: c.CA, Cert: c.Cert, Key: c.Key}})
	if err := s.Deliver(t.Context(), records(0, 1)); err != nil {
		t.Error(err)
	}
}

// TestWrongOptions are all said, and no secret with them.
func TestWrongOptions(t *testing.T) {
	_, err := New(Options{URL: "https://me:hunter2@host", Key: secret.Text{Value: "whsec_hunter2"},
		Token: secret.Text{File: "/nowhere"}, Header: "hunter2", TLS: tlsclient.Files{CA: "/no-ca"}}, nil)
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 5 || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("%d lines: %v", n, err)
	}
	good := Options{URL: "http://host", Key: secret.Text{Value: "whsec_aHVudGVyMg=="}, Header: "X-A:b",
		Token: secret.Text{Value: "t"}}
	if _, err := New(good, nil); err != nil {
		t.Error(err)
	}
}

// TestErrorsHoldNoSecret: an address may have a token in its query.
func TestErrorsHoldNoSecret(t *testing.T) {
	r := newReceiver(t)
	s, _ := newSink(t, Options{URL: r.URL + "/?token=hunter2", Token: secret.Text{Value: "hunter2"},
		Header: "X-A: hunter2"})
	for _, status := range []int{302, 404, 503, 0} {
		r.answers(func(w http.ResponseWriter, _ []string) {
			w.Header().Set("Location", "/?token=hunter2")
			w.WriteHeader(status)
		})
		if status == 0 {
			r.Close()
		}
		err := s.Deliver(t.Context(), records(0, 1))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", strconv.Itoa(status), err)
		}
	}
}
