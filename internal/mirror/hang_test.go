package mirror

import (
	"context"
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
			m, h, q := mirrorOn(t, p, c.receipt)
			defer end(t, m)
			defer close(h.mended)
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

// mirrorOn is a mirror with a frame of a device on a disk that hangs.
func mirrorOn(t *testing.T, p *platform, r *Receipt) (*Mirror, *hung, *Queue) {
	m := New(Options{Address: p.address, Dir: t.TempDir(), BufferBytes: 4 << 20, MaxDevices: 100,
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
		patience: 300 * time.Millisecond, pause: time.Millisecond}) // not started: nothing of it is on disk
	h := &hung{frame: frame(1), asked: make(chan struct{}), mended: make(chan struct{})}
	s := &segment{file: h}
	s.add(1)
	q := m.Hold(imei)
	q.expect(len(h.frame))
	q.push(item{segment: s, size: uint32(len(h.frame)), receipt: r})
	return m, h, q
}

// TestHungDiskAtTheEnd takes little of the time in which all has to end.
func TestHungDiskAtTheEnd(t *testing.T) {
	m, h, q := mirrorOn(t, newPlatform(t).come(), nil)
	defer close(h.mended)
	soon(t, "the disk is asked", h.asked)
	q.Release()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if m.Close(ctx) == nil || ctx.Err() != nil {
		t.Error("not given up, or too late")
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
