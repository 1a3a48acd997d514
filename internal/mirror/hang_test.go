package mirror

import (
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// hung is the file of a segment on a disk that takes no write until the test ends.
type hung struct {
	file
	frame  []byte
	asked  chan struct{} // closed by the first write
	once   sync.Once
	mended chan struct{}
}

func (h *hung) ReadAt(p []byte, _ int64) (int, error) { return copy(p, h.frame), nil }

func (h *hung) WriteAt([]byte, int64) (int, error) {
	h.once.Do(func() { close(h.asked) })
	<-h.mended
	return 0, io.ErrShortWrite
}

// TestHungDisk: a disk that hangs while a frame is marked as done with holds up no session and no login.
func TestHungDisk(t *testing.T) {
	for name, c := range map[string]struct {
		receipt *Receipt
		login   byte
	}{
		"answered":  {nil, teltonika.LoginAccept},
		"withdrawn": {withdrawn(), teltonika.LoginAccept},
		"dropped":   {nil, teltonika.LoginRefuse},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t).come()
			p.set(func(p *platform) { p.login = func(string) []byte { return []byte{c.login} } })
			m := New(Options{Address: p.address, Dir: t.TempDir(), BufferBytes: 4 << 20, MaxDevices: 100,
				Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
				patience: 300 * time.Millisecond, pause: time.Millisecond}) // not started: nothing of it is on disk
			h := &hung{frame: frame(1), asked: make(chan struct{}), mended: make(chan struct{})}
			defer end(t, m)
			defer close(h.mended)
			s := &segment{file: h}
			s.add(1)
			q := m.Hold(imei)
			q.expect(len(h.frame))
			q.push(item{segment: s, size: uint32(len(h.frame)), receipt: c.receipt})
			q.Release()
			soon(t, "the disk is asked", h.asked)
			served := make(chan struct{})
			go func() {
				defer close(served)
				for range 2 {
					q := m.Hold(imei)
					q.Offer(frame(2))
					q.Release()
					m.Hold("other").Release()
				}
			}()
			soon(t, "sessions are served", served)
		})
	}
}

// soon waits until the channel is closed.
func soon(t *testing.T, what string, closed <-chan struct{}) {
	t.Helper()
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Error("not within 5 s:", what)
	}
}

// withdrawn is the receipt of a frame that nobody waits for any more.
func withdrawn() *Receipt {
	r := &Receipt{answer: make(chan error, 1)}
	r.left.Store(true)
	return r
}
