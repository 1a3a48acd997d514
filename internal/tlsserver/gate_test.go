package tlsserver

import (
	"context"
	"crypto"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestGateLetsThoseThatHaveBegunGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, newTestMetrics().waiting)
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

func TestGatePatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, newTestMetrics().waiting)
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

// TestGateIsEmptyInTheEnd has handshakes end in all ways, and then needs all places.
func TestGateIsEmptyInTheEnd(t *testing.T) {
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
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	if s.gate.free != 2 {
		t.Errorf("%d places are free, want 2", s.gate.free)
	}
}

var _ net.Conn = (*Conn)(nil)
