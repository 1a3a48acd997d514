package teltonikasession

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/mirror"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// address has a service listen on a real port.
func (s *service) address() string {
	s.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.Fatal(err)
	}
	s.server.Serve(l, nil)
	return l.Addr().String()
}

// mirrored returns a service that mirrors to the address.
func mirrored(tb testing.TB, address string, both bool, change ...func(*Options)) *service {
	tb.Helper()
	return mirroredFor(tb, address, both, 500*time.Millisecond, change...)
}

// mirroredFor is mirrored with so long for the old platform's answer.
func mirroredFor(tb testing.TB, address string, both bool, wait time.Duration, change ...func(*Options)) *service {
	tb.Helper()
	m := mirror.New(mirror.Options{Address: address, Both: both, AckTimeout: wait, Dir: tb.TempDir(),
		BufferBytes: 64 << 20, MaxDevices: 100, Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler)})
	if err := m.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { // behind the service's end
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := m.Close(ctx); err != nil {
			tb.Error(err)
		}
	})
	return newService(tb, append(change, func(o *Options) { o.Mirror = m })...)
}

// TestMirror: the old platform, a service like this one, has the same records, dead letters and messages.
func TestMirror(t *testing.T) {
	old := newService(t)
	s := mirrored(t, old.address(), false)
	d := testkit.Dial(t, s.address())
	d.MustLogin(imei)
	const frames = 20
	for range frames {
		d.SendFrame(teltonika.Codec8, fresh(3)...)
		d.ExpectACK(3)
	}
	d.Send(undecodable(t))
	d.ExpectACK(2)
	d.Send(teltonika.AppendFrame(nil, []byte{0x0c, 1, 6, 0, 0, 0, 2, 'h', 'i', 1}))
	d.SendFrame(teltonika.Codec8, fresh(1)...)
	d.ExpectACK(1)
	d.Close()
	testkit.Eventually(t, "the old platform has all", func() bool { return len(old.engine.Records()) == 3*frames+1 })
	for _, both := range []*service{s, old} {
		both.stop()
		both.checkLedger()
		both.expectStored(3*frames+1, 1)
		if n := len(both.engine.Messages()); n != 1 {
			t.Errorf("%d messages", n)
		}
	}
	for i, r := range s.engine.Records() {
		if other := old.engine.Records()[i]; other.ID != r.ID {
			t.Fatalf("record %d is %s here and %s there", i, r.ID, other.ID)
		}
	}
}

// undecodable is a frame with a right CRC whose two numbers of records differ.
func undecodable(t testing.TB) []byte {
	t.Helper()
	data := teltonika.AVLData{Codec: teltonika.Codec8, Records: fresh(2)}
	body, err := data.AppendBody(nil)
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)-1] = 9
	return teltonika.AppendFrame(nil, body)
}

// TestBothAcknowledge: without the old platform's answer there is no ACK, and what is stored here then is a duplicate;
// what this one cannot decode need not be understood there.
func TestBothAcknowledge(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close() // it is away
	s := mirrored(t, address, true)
	d := testkit.Dial(t, s.address())
	d.MustLogin(imei)
	frame := d.SendFrame(teltonika.Codec8, fresh(2)...)
	d.ExpectNoAnswer(time.Second)
	s.expectStored(2, 0)
	d.Send(undecodable(t))
	d.ExpectACK(2)

	old := newService(t)
	l, err = net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	old.server.Serve(l, nil)
	testkit.Eventually(t, "the device is at the old platform", func() bool {
		return old.total("teltonika_handshake_total", "result=accepted") > 0
	})
	d.Send(frame)
	d.ExpectACK(2)
	if n := len(old.engine.Records()); n != 2 {
		t.Errorf("acknowledged with %d records at the old platform", n)
	}
	d.Close()
	s.stop()
	s.checkLedger()
	s.expectStored(2, 1)
	s.expectMetric(2, "teltonika_records_duplicate_total")
}

// TestBothKeepsNothing: a large frame that waits for the old platform has no memory of others meanwhile, and a session
// whose device has gone does not wait.
func TestBothKeepsNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // it takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := mirroredFor(t, l.Addr().String(), true, time.Minute)
	d := testkit.Dial(t, s.address())
	d.MustLogin(imei)
	d.Send(largeFrame(t, 10_000))
	testkit.EventuallyIn(t, "the frame is stored, and has none of the budget", 10*time.Second, func() bool {
		return len(s.engine.Records()) == 1 && s.inHand() == 0
	})
	d.Close()
	testkit.EventuallyIn(t, "the session ends", 10*time.Second, func() bool {
		return s.total("teltonika_connections_closed_total") == 1
	})
}

// BenchmarkMirrorRatio compares a device's frames in turns: without a mirror, with one to a service like this one, and
// with one that has to acknowledge too.
//
//	off          what a frame spends on a mirror that is not there, as a share of its time
//	ours, both   the time of a frame as a share of that without a mirror
func BenchmarkMirrorRatio(b *testing.B) {
	plain := tapBenchDevice(b, nil)
	device := func(both bool) *benchDevice {
		old := newService(b)
		old.engine.Forget()
		s := mirrored(b, old.address(), both)
		s.engine.Forget()
		return newBenchDevice(b, s.address(), teltonika.Codec8E)
	}
	ours, both := device(false), device(true)
	var none *mirror.Queue
	frame := teltonika.Frame(undecodable(b))
	var off, without, withOurs, withBoth time.Duration
	for b.Loop() {
		without += timed(b, plain)
		began := time.Now()
		for range 1000 {
			none.Offer(frame).Confirmed(nil, nil)
		}
		off += time.Since(began) / 1000
		withOurs += timed(b, ours)
		withBoth += timed(b, both)
	}
	b.ReportMetric(float64(off)/float64(without), "off")
	b.ReportMetric(float64(withOurs)/float64(without), "ours")
	b.ReportMetric(float64(withBoth)/float64(without), "both")
}
