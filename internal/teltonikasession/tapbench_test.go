package teltonikasession

import (
	"net"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// BenchmarkTapRatio compares a device's frames in turns: without taps, while no tap is open, while one for another
// device is, and while one that nobody reads has asked for all.
//
//	closed, other, unread   the time of a frame as a share of that without taps
func BenchmarkTapRatio(b *testing.B) {
	cases := []struct {
		name   string
		filter *tap.Filter // nil: no tap
	}{{"closed", nil}, {"other", &tap.Filter{IMEI: "1"}}, {"unread", &tap.Filter{}}}
	plain := tapBenchDevice(b, nil)
	devices := make([]*benchDevice, len(cases))
	for i, c := range cases {
		hub := tap.NewHub(nil)
		if c.filter != nil {
			if _, err := hub.Open(*c.filter); err != nil {
				b.Fatal(err)
			}
		}
		devices[i] = tapBenchDevice(b, hub)
	}
	var without time.Duration
	with := make([]time.Duration, len(cases))
	for b.Loop() {
		without += timed(b, plain)
		for i, d := range devices {
			with[i] += timed(b, d)
		}
	}
	for i, c := range cases {
		b.ReportMetric(float64(with[i])/float64(without), c.name)
	}
}

func timed(b *testing.B, d *benchDevice) time.Duration {
	began := time.Now()
	d.exchange(b)
	return time.Since(began)
}

func tapBenchDevice(b *testing.B, hub *tap.Hub) *benchDevice {
	s := newService(b, func(o *Options) { o.Tap = hub })
	s.engine.Forget()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s.server.Serve(l, nil)
	return newBenchDevice(b, l.Addr().String(), teltonika.Codec8E)
}
