package tap

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const imei = "356307042441013"

func packet() *Packet {
	return &Packet{IMEI: imei, Address: netip.MustParseAddrPort("192.0.2.7:40001"), Transport: "tcp", Kind: Frame,
		Outcome: Stored, Bytes: []byte{1, 2, 3}, Size: 3}
}

func open(t testing.TB, h *Hub, f Filter) *Tap {
	t.Helper()
	tap, err := h.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	return tap
}

// next returns what waits for the reader; nil if nothing does.
func next(t testing.TB, tap *Tap) (*Packet, uint64) {
	t.Helper()
	p, dropped, err := tap.Next(t.Context(), time.Nanosecond)
	if err != nil {
		t.Fatal(err)
	}
	return p, dropped
}

func TestFilter(t *testing.T) {
	prefix := netip.MustParsePrefix
	stranger := packet()
	stranger.IMEI, stranger.Outcome, stranger.Stranger = "", Malformed, true
	for name, c := range map[string]struct {
		filter          Filter
		device, unknown bool
	}{
		"all":          {Filter{}, true, true},
		"imei":         {Filter{IMEI: imei}, true, false},
		"other imei":   {Filter{IMEI: "1"}, false, false},
		"address":      {Filter{Network: prefix("192.0.2.7/32")}, true, true},
		"network":      {Filter{Network: prefix("192.0.2.0/24")}, true, true},
		"elsewhere":    {Filter{Network: prefix("2001:db8::/32")}, false, false},
		"transport":    {Filter{Transport: "udp"}, false, false},
		"outcomes":     {Filter{Outcomes: []Outcome{Refused, Malformed}}, false, true},
		"strangers":    {Filter{Strangers: true}, false, true},
		"all of these": {Filter{IMEI: imei, Transport: "tcp", Outcomes: []Outcome{Stored}}, true, false},
	} {
		h := NewHub(nil)
		tap := open(t, h, c.filter)
		for p, want := range map[*Packet]bool{packet(): c.device, stranger: c.unknown} {
			h.Offer(p)
			if got, _ := next(t, tap); (got != nil) != want {
				t.Errorf("%s: shown %v, want %v of %+v", name, got != nil, want, p)
			}
			if undecided := *p; h.Wants(&undecided) != want {
				t.Errorf("%s: wanted %v, want %v of %+v", name, !want, want, p)
			}
		}
		tap.Close()
	}
}

// TestTapHasCopies: whoever offers a packet goes on using its bytes.
func TestTapHasCopies(t *testing.T) {
	h := NewHub(nil)
	tap := open(t, h, Filter{})
	p := packet()
	p.Bytes, p.Answer = append(p.Bytes, make([]byte, MaxBytes)...), []byte{1}
	p.Size, p.Err = len(p.Bytes), errors.New(strings.Repeat("x", 10*maxErrorLen))
	h.Offer(p)
	p.Bytes[0], p.Answer[0] = 9, 9
	got, _ := next(t, tap)
	if got.Bytes[0] != 1 || got.Answer[0] != 1 || len(got.Bytes) != MaxBytes || got.Size != MaxBytes+3 ||
		len(got.Error) != maxErrorLen || got.Err != nil {
		t.Errorf("%d bytes of %d, error of %d", len(got.Bytes), got.Size, len(got.Error))
	}
}

// TestDropsAreCountedInTheirPlace: the reader learns of them before the next packet that had room, and of those at the
// end without one.
func TestDropsAreCountedInTheirPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(nil)
		tap := open(t, h, Filter{})
		for range maxPackets + 7 {
			h.Offer(packet())
		}
		time.Sleep(10 * time.Second) // the rate allows more again
		for range maxPackets {
			if p, dropped := next(t, tap); p == nil || dropped != 0 {
				t.Fatal(p, dropped)
			}
		}
		h.Offer(packet())
		if p, dropped := next(t, tap); p == nil || dropped != 7 {
			t.Errorf("packet %v behind %d dropped", p, dropped)
		}
		time.Sleep(10 * time.Second)
		for range maxPackets + 5 {
			h.Offer(packet())
		}
		if shown, dropped := tap.Close(); shown != maxPackets+1 || dropped != 12 {
			t.Errorf("%d shown, %d dropped", shown, dropped)
		}
	})
}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub(nil)
		tap := open(t, h, Filter{})
		shown := 0
		for range 10 { // seconds
			for range 2000 {
				h.Offer(packet())
				if p, _ := next(t, tap); p != nil {
					shown++
				}
			}
			time.Sleep(time.Second)
		}
		if shown < 5000 || shown > 5000+maxPackets {
			t.Errorf("%d shown in 10 s", shown)
		}
	})
}

// TestTapsThatDoNotRead: as many as there may be keep a bounded memory and no goroutine, and hold up nobody.
func TestTapsThatDoNotRead(t *testing.T) {
	h := NewHub(nil)
	goroutines := runtime.NumGoroutine()
	var taps []*Tap
	for range MaxTaps {
		taps = append(taps, open(t, h, Filter{}))
	}
	if _, err := h.Open(Filter{}); err != ErrTooMany {
		t.Errorf("one more tap: %v", err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var sessions sync.WaitGroup
	for range 32 {
		sessions.Go(func() {
			p := packet()
			p.Bytes = make([]byte, 10<<10)
			for range 1000 {
				h.Offer(p)
			}
		})
	}
	sessions.Wait()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > MaxTaps*(maxWaiting+maxPackets*512) {
		t.Errorf("%d bytes are kept", grown)
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		t.Errorf("%d goroutines, %d before", n, goroutines)
	}
	for _, tap := range taps {
		if n := tap.bytes.Load(); n > maxWaiting || n < maxWaiting/2 {
			t.Errorf("%d bytes wait", n)
		}
		waiting := len(tap.waiting)
		if _, dropped := tap.Close(); int(dropped)+waiting != 32*1000 {
			t.Errorf("%d dropped and %d wait, of 32,000", dropped, waiting)
		}
	}
	if h.Watched() {
		t.Error("watched without a tap")
	}
}

func TestNextEnds(t *testing.T) {
	tap := open(t, NewHub(nil), Filter{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := tap.Next(ctx, time.Hour); err != context.Canceled {
		t.Error(err)
	}
}

// TestNobodyLooks: then a packet costs nothing, also where nobody can.
func TestNobodyLooks(t *testing.T) {
	for _, h := range []*Hub{nil, NewHub(nil)} {
		if n := testing.AllocsPerRun(100, func() {
			if h.Watched() {
				t.Error("watched")
			}
		}); n > 0 {
			t.Errorf("%v allocations", n)
		}
	}
}
