package mirror

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const imei = "356307042441013"

// platform is an old platform that does what the test says.
type platform struct {
	t        testing.TB
	address  string
	listener net.Listener
	conns    sync.WaitGroup

	mu       sync.Mutex
	login    func(imei string) []byte           // the answer; nil: none
	answer   func(imei string, records int) any // []byte, time.Duration before each byte, endless, closing or nil
	message  []byte                             // the answer to one
	answered atomic.Int64                       // messages

	got    map[string][]byte // by device: the tag of each frame that was answered
	logins []string
	open   map[net.Conn]struct{}
}

// closing is an answer that closes the connection.
type closing struct{}

// endless is an answer that comes again and again.
type endless []byte

func accept(string) []byte                     { return []byte{teltonika.LoginAccept} }
func acknowledge(_ string, records int) any    { return teltonika.AppendAck(nil, records) }
func (p *platform) set(change func(*platform)) { p.mu.Lock(); defer p.mu.Unlock(); change(p) }

// newPlatform returns one that acknowledges everything, at an address of its own, and is not there yet.
func newPlatform(t testing.TB) *platform {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &platform{t: t, address: l.Addr().String(), login: accept, answer: acknowledge, got: make(map[string][]byte),
		open: make(map[net.Conn]struct{})}
	l.Close()
	t.Cleanup(p.leave)
	return p
}

// come has the platform be there.
func (p *platform) come() *platform {
	p.t.Helper()
	l, err := net.Listen("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.listener = l
	p.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.set(func(p *platform) { p.open[conn] = struct{}{} })
			p.conns.Go(func() { p.serve(conn) })
		}
	})
	return p
}

// leave ends it, with all its connections.
func (p *platform) leave() {
	if p.listener == nil {
		return
	}
	p.listener.Close()
	p.set(func(p *platform) {
		for c := range p.open {
			c.Close()
		}
	})
	p.conns.Wait()
	p.listener = nil
}

func (p *platform) serve(conn net.Conn) {
	defer p.set(func(p *platform) { delete(p.open, conn); conn.Close() })
	from := bufio.NewReader(conn)
	imei, err := teltonika.ReadLogin(from)
	if err != nil {
		return
	}
	var answer []byte
	p.set(func(p *platform) { p.logins = append(p.logins, imei); answer = p.login(imei) })
	if answer == nil {
		_, _ = io.Copy(io.Discard, from)
		return
	}
	if _, err := conn.Write(answer); err != nil || answer[0] != teltonika.LoginAccept {
		return
	}
	for {
		frame, err := teltonika.ReadFrame(from, 1<<20)
		if err != nil {
			return
		}
		if !p.reply(conn, imei, frame) {
			return
		}
	}
}

// reply does with a frame what the test says.
func (p *platform) reply(conn net.Conn, imei string, frame teltonika.Frame) bool {
	var answer any
	p.set(func(p *platform) {
		if frame.Codec().IsMessage() {
			p.got[imei] = append(p.got[imei], 'm')
			_, _ = conn.Write(p.message)
			p.answered.Add(1)
			return
		}
		answer = p.answer(imei, frame.Count())
		if b, ok := answer.([]byte); ok && len(b) > 0 {
			p.got[imei] = append(p.got[imei], frame[tagAt])
		}
	})
	switch a := answer.(type) {
	case []byte:
		_, err := conn.Write(a)
		return err == nil
	case time.Duration: // drips
		for _, b := range teltonika.AppendAck(nil, frame.Count()) {
			time.Sleep(a)
			if _, err := conn.Write([]byte{b}); err != nil {
				return false
			}
		}
	case endless:
		for {
			if _, err := conn.Write(a); err != nil {
				return false
			}
			time.Sleep(20 * time.Millisecond)
		}
	case closing:
		return false
	}
	return true
}

// has waits until the platform has exactly these frames of the device.
func (p *platform) has(device string, want []byte) {
	p.t.Helper()
	testkit.Succeeds(p.t, "the old platform has all", testkit.Timeout, func() (err error) {
		p.set(func(p *platform) {
			if got := p.got[device]; !slices.Equal(got, want) {
				err = fmt.Errorf("the old platform has %v of %s, want %v", got, device, want)
			}
		})
		return err
	})
}

// mirrorTo starts a mirror that is in a hurry.
func mirrorTo(t testing.TB, p *platform, change ...func(*Options)) *Mirror {
	t.Helper()
	o := Options{Address: p.address, AckTimeout: 5 * time.Second, Dir: t.TempDir(), BufferBytes: 4 << 20, MaxDevices: 100,
		Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
		patience: 300 * time.Millisecond, pause: 10 * time.Millisecond}
	for _, c := range change {
		c(&o)
	}
	m := New(o)
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if m.ctx.Err() == nil {
			end(t, m)
		}
	})
	return m
}

func end(t testing.TB, m *Mirror) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Timeout)
	defer cancel()
	if err := m.Close(ctx); err != nil {
		t.Error(err)
	}
}

// tagAt is where a frame of these tests has what it is told by.
const tagAt = teltonika.HeaderSize + 2

// frameOf is a frame of so many records, of so many bytes at least. Nobody decodes it.
func frameOf(codec teltonika.Codec, tag byte, records, size int) teltonika.Frame {
	body := append([]byte{byte(codec), byte(records), tag}, make([]byte, size)...)
	return teltonika.AppendFrame(nil, append(body, byte(records)))
}

func frame(tag byte) teltonika.Frame { return frameOf(teltonika.Codec8, tag, 2, 50) }

// total is the value of a metric with this label, or without one.
func (m *Mirror) total(t testing.TB, name, label string) (sum float64) {
	t.Helper()
	families, err := m.Registerer.(*prometheus.Registry).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			if f.GetName() == "teltonika_mirror_"+name && (label == "" || metric.GetLabel()[0].GetValue() == label) {
				sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// expect waits until the metric is at least so much.
func (m *Mirror) expect(t testing.TB, least float64, name, label string) {
	t.Helper()
	testkit.Eventually(t, name+" "+label, func() bool { return m.total(t, name, label) >= least })
}
