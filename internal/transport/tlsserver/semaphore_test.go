package tlsserver

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestSemaphoreLetsThoseThatHaveBegunGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSemaphore(1, newTestMetrics().waiting)
		g.enter(t.Context(), true)
		var order []string
		var all sync.WaitGroup
		wait := func(name string, newcomer bool) {
			all.Go(func() {
				if err := g.enter(t.Context(), newcomer); err != nil {
					t.Error(err)
				}
				order = append(order, name)
				g.leave()
			})
			synctest.Wait()
		}
		wait("newcomer 1", true)
		wait("newcomer 2", true)
		wait("begun 1", false)
		wait("begun 2", false)
		if n := testutil.ToFloat64(g.waiting); n != 4 {
			t.Errorf("%v wait, want 4", n)
		}
		g.leave()
		all.Wait()
		want := []string{"begun 1", "begun 2", "newcomer 1", "newcomer 2"}
		for i, name := range want {
			if order[i] != name {
				t.Fatalf("went in as %q, want %q", order, want)
			}
		}
		if n := testutil.ToFloat64(g.waiting); n != 0 || g.free != 1 {
			t.Errorf("%v wait and %d places are free in the end", n, g.free)
		}
	})
}

func TestSemaphorePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSemaphore(1, newTestMetrics().waiting)
		g.enter(t.Context(), true)
		for newcomer, want := range map[bool]time.Duration{true: 15 * time.Second, false: 30 * time.Second} {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			begin := time.Now()
			if err := g.enter(ctx, newcomer); !errors.Is(err, errBusy) || time.Since(begin) != want {
				t.Errorf("newcomer %v: %v after %v, want %v after %v", newcomer, err, time.Since(begin), errBusy, want)
			}
			cancel()
		}
		g.leave()
		if g.free != 1 || g.newcomers.Len()+g.begun.Len() != 0 {
			t.Error("those that gave up are still waited for")
		}
	})
}

// TestSemaphoreClosesWhenCancelled: who waits leaves at once, whoever's turn comes then does not go in, and nobody
// after.
func TestSemaphoreClosesWhenCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newSemaphore(1, newTestMetrics().waiting)
		g.enter(t.Context(), true)
		ctx, cancel := context.WithCancel(t.Context())
		timed, end := context.WithTimeout(ctx, time.Minute)
		defer end()
		begin := time.Now()
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				if err := g.enter(timed, i%2 == 0); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		cancel()
		g.leave() // somebody's turn, at the same time
		all.Wait()
		if err := g.enter(timed, false); !errors.Is(err, context.Canceled) {
			t.Errorf("entered: %v", err)
		}
		if time.Since(begin) > 0 || g.free != 1 || g.newcomers.Len()+g.begun.Len() != 0 {
			t.Errorf("after %v %d places are free, %d wait", time.Since(begin), g.free, g.newcomers.Len()+g.begun.Len())
		}
	})
}

// TestStopDuringAStorm: nobody waits for a place any more, and it is called a stop.
func TestStopDuringAStorm(t *testing.T) {
	_, dir := newPKI(t)
	s := startService(t, dir, func(_ *service, o *Options) { o.Handshakes = 1 })
	if err := s.semaphore.enter(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	defer s.semaphore.leave()
	const storm = 20
	for range storm {
		s.connect(t).Write(clientHello(t))
	}
	testkit.Eventually(t, "all wait", func() bool { return testutil.ToFloat64(s.options.Metrics.waiting) == storm })
	s.stop()
	for range storm {
		var e *HandshakeError
		if err := s.result(t); !errors.As(err, &e) || e.Reason != ReasonShutdown {
			t.Errorf("handshake ended with %v", err)
		}
	}
	if strings.Contains(s.log.String(), "level=WARN") {
		t.Errorf("a stop makes noise: %s", s.log)
	}
}

// brokenKey panics, as a bug in a handshake would.
type brokenKey struct{ crypto.Signer }

func (brokenKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	panic("a bug in the key")
}

// TestPanicReleasesTheSemaphore: a bug that somebody contains costs no place.
func TestPanicReleasesTheSemaphore(t *testing.T) {
	_, dir := newPKI(t)
	s := startService(t, dir, func(_ *service, o *Options) { o.Handshakes = 1 })
	s.signBy(brokenKey{s.current.Load().config.Certificates[0].PrivateKey.(crypto.Signer)})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		s.Wrap(&scripted{clientHello(t), 4096}).Handshake(t.Context())
	}()
	if s.semaphore.free != 1 {
		t.Errorf("%d places are free, want 1", s.semaphore.free)
	}
}

// countingKey notes how many signatures are made at the same time.
type countingKey struct {
	crypto.Signer
	now, most atomic.Int32
}

func (k *countingKey) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	n := k.now.Add(1)
	defer k.now.Add(-1)
	for most := k.most.Load(); n > most && !k.most.CompareAndSwap(most, n); most = k.most.Load() {
	}
	time.Sleep(time.Millisecond) // as a slower processor
	return k.Signer.Sign(r, digest, o)
}

// signBy has the service sign with another object of its key.
func (s *service) signBy(k crypto.Signer) {
	cr := *s.current.Load()
	cr.config = cr.config.Clone()
	cr.config.Certificates[0].PrivateKey = k
	s.current.Store(&cr)
}

// TestStormDoesNotComputeAllAtOnce has devices come at once, most of which fall silent in the middle: neither do more
// compute at a time than allowed, nor do the silent ones keep the others out.
func TestStormDoesNotComputeAllAtOnce(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir, func(_ *service, o *Options) { o.Handshakes = 2 })
	key := &countingKey{Signer: s.current.Load().config.Certificates[0].PrivateKey.(crypto.Signer)}
	s.signBy(key)
	hello := clientHello(t)
	var all sync.WaitGroup
	for i := range 100 {
		if i%4 == 0 {
			all.Go(func() {
				conn, err := tls.Dial("tcp", s.address, trusting(root))
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				if err := exchange(conn, "login"); err != nil {
					t.Error(err)
				}
			})
			continue
		}
		conn := s.connect(t)
		conn.Write(hello)
	}
	all.Wait()
	if most := key.most.Load(); most < 1 || most > 2 {
		t.Errorf("%d signatures at the same time, want at most 2", most)
	}
}

// TestSemaphoreIsEmptyInTheEnd has handshakes end in many ways, after which all places are free.
func TestSemaphoreIsEmptyInTheEnd(t *testing.T) {
	root, dir := newPKI(t)
	s := startService(t, dir, timeout(100*time.Millisecond), func(_ *service, o *Options) { o.Handshakes = 2 })
	for range 5 {
		s.hello(t).Close()
		s.hello(t) // and silence
		s.connect(t).Write(clientHello(t)[:100])
		io.WriteString(s.connect(t), "GET / HTTP/1.1\r\n\r\n")
		conn := s.hello(t)
		conn.Write([]byte{0x15, 3, 3, 0, 2, 2, 48})
		if _, err := s.dial(t, trusting(root)); err != nil {
			t.Fatal(err)
		}
	}
	for range 30 {
		s.result(t)
	}
	s.semaphore.mu.Lock()
	defer s.semaphore.mu.Unlock()
	if s.semaphore.free != 2 {
		t.Errorf("%d places are free, want 2", s.semaphore.free)
	}
}

var _ net.Conn = (*Conn)(nil)
