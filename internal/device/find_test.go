package device_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// startAs starts a memory as the process of an instance.
func startAs(t *testing.T, instance string, store device.Store) *run {
	r := &run{T: t, log: testkit.NewLog(t)}
	dies := new(atomic.Bool)
	r.Memory = device.New(device.Options{
		Store: mortalStore{store, dies}, Instance: instance, DatagramIdle: time.Hour,
		Metrics: device.NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Memory.Run(ctx)
	}()
	end := func() {
		cancel()
		<-done
		_ = store.Close()
	}
	r.stop = end
	r.crash = func() {
		dies.Store(true)
		end()
	}
	return r
}

// mortalStore takes nothing any more once its process has died.
type mortalStore struct {
	device.Store
	dead *atomic.Bool
}

var errDead = errors.New("dead")

func (s mortalStore) Save(ctx context.Context, d []device.Kept) error {
	if s.dead.Load() {
		return errDead
	}
	return s.Store.Save(ctx, d)
}

func (s mortalStore) Forget(ctx context.Context, runs []string) error {
	if s.dead.Load() {
		return errDead
	}
	return s.Store.Forget(ctx, runs)
}

// connect has the device log in. end is the end of its connection.
func (r *run) connect(imei string) (d *device.Device, end func(reason string)) {
	d = r.Hold(imei)
	visit := d.LoggedIn(device.Visit{At: time.Now(), Address: "198.51.100.7:40312", Transport: "tcp"})
	return d, func(reason string) {
		d.Left(visit, time.Now(), reason, reason == "taken_over")
		d.Release()
	}
}

func (r *run) find(imei string) device.Presence {
	r.Helper()
	p, known, err := r.Find(r.Context(), imei)
	if err != nil || !known {
		r.Fatalf("%s: known %v, %v", imei, known, err)
	}
	return p
}

// list reads all pages.
func (r *run) list(state device.State, limit int) (imeis []string) {
	r.Helper()
	for q := (device.Query{State: state, Limit: limit}); ; {
		page, next, err := r.List(r.Context(), q)
		if err != nil || len(page) > limit {
			r.Fatalf("%d devices, %v", len(page), err)
		}
		for _, p := range page {
			if state != device.StateAll && p.Connected != (state == device.StateConnected) {
				r.Errorf("listed as %s: %+v", state, p)
			}
			imeis = append(imeis, p.IMEI)
		}
		if q.After = next; next == "" {
			return imeis
		}
	}
}

func (r *run) wantList(state device.State, want ...string) {
	r.Helper()
	for _, limit := range []int{1, 3, 100} {
		if got := r.list(state, limit); !slices.Equal(got, want) {
			r.Errorf("%s in pages of %d: %v, want %v", state, limit, got, want)
		}
	}
}

// A device that has left is answered for after a restart, with what it had done before, and counts on.
func TestPresenceOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			first := startAs(t, "gate-1", open())
			d, end := first.connect(one)
			d.Heard(device.Frame{Received: time.Now(), Codec: "8E", Acknowledged: 5})
			d.Stored(device.Outcome{At: time.Now(), Stored: 3, Duplicate: 2})
			d.Failed(device.Error{At: device.Time{Time: time.Now()}, Cause: device.CauseCRC, Text: "wrong", First: []byte{1}})
			end("shutdown")
			first.stop()

			second := startAs(t, "gate-1", open())
			defer func() { second.stop() }()
			if _, here := second.Presence(one); here {
				t.Error("known before anybody has asked")
			}
			p := second.find(one)
			if p.Connected || p.CloseReason != "shutdown" || p.Records != 5 || p.Codec != "8E" || p.Logins != 1 ||
				p.Counts.Stored != 3 || p.Since.WrongCRC != 1 || p.LastError == nil || p.Instance != "gate-1" {
				t.Errorf("%+v", p)
			}
			d, end = second.connect(one)
			d.Stored(device.Outcome{At: time.Now(), Stored: 4})
			testkit.Eventually(t, "what was kept", func() bool {
				p, _ := second.Presence(one)
				return p.Connected && p.Logins == 2 && p.Counts == device.Counts{Stored: 7, Duplicate: 2, WrongCRC: 1}
			})
			end("peer_closed")
		})
	}
}

// Any instance answers for any device, and lists those of all. An instance that is not heard of has no devices.
func TestPresenceOfOtherInstances(t *testing.T) {
	t.Parallel()
	open := stores(t)["redis"]
	here, there := startAs(t, "gate-1", open()), startAs(t, "gate-2", open())
	defer func() { here.stop() }()
	_, endHere := here.connect("1")
	_, endThere := there.connect("2")
	_, gone := there.connect("3")
	gone("peer_closed")
	here.HoldClaimed("1").HeardFrom(netip.MustParseAddrPort("192.0.2.1:1"),
		device.Frame{Received: time.Now(), Codec: "8", Acknowledged: 1})
	here.Rejected("0", device.Login{At: device.Time{Time: time.Now()}, Reason: device.LoginNotListed})
	testkit.EventuallyIn(t, "the devices of the other one", 20*time.Second, func() bool {
		return slices.Equal(here.list(device.StateAll, 2), []string{"0", "1", "1", "2", "3"})
	})
	here.wantList(device.StateConnected, "1", "1", "2")
	here.wantList(device.StateGone, "0", "3")
	testkit.EventuallyIn(t, "that one's", 20*time.Second, func() bool {
		return slices.Equal(there.list(device.StateConnected, 2), []string{"1", "1", "2"})
	})
	if p := here.find("2"); !p.Connected || p.Instance != "gate-2" {
		t.Errorf("%+v", p)
	}
	if p := here.find("0"); p.Connected || p.Login.Answer != device.LoginRejected || p.Rejected != 1 {
		t.Errorf("%+v", p)
	}

	_, endMoved := here.connect("2") // it moves: its connection there ends, and is saved later
	endThere("taken_over")
	there.stop()
	if p := here.find("2"); !p.Connected || p.Instance != "gate-1" {
		t.Errorf("%+v", p)
	}
	here.wantList(device.StateConnected, "1", "1", "2")
	endHere("peer_closed")
	endMoved("peer_closed")
	here.wantList(device.StateConnected, "1") // the one that datagrams claim to be
}

// A device that was connected to a process that has died is said to have been.
func TestPresenceOfDeadInstances(t *testing.T) {
	t.Parallel()
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			first := startAs(t, "gate-1", open())
			first.connect(one)
			store := open()
			defer store.Close()
			testkit.EventuallyIn(t, "it is saved", 20*time.Second, func() bool {
				kept, _ := store.List(t.Context(), device.StateConnected, "", 10)
				return len(kept) == 1
			})
			p := first.find(one)
			if err := store.Beat(t.Context(), p.Run()); err != nil { // as it does now and then
				t.Fatal(err)
			}
			first.crash()

			second := startAs(t, "gate-1", open())
			defer func() { second.stop() }()
			p = second.find(one)
			if age := time.Since(p.InstanceLost.Time); p.Connected || age < 0 || age > time.Minute {
				t.Errorf("%+v", p)
			}
			second.wantList(device.StateConnected)
			testkit.EventuallyIn(t, "it is listed as gone", 20*time.Second, func() bool {
				return slices.Equal(second.list(device.StateGone, 10), []string{one})
			})
			if p := second.find(one); p.Connected || p.InstanceLost.IsZero() {
				t.Errorf("later: %+v", p)
			}
			_, end := second.connect(one)
			if p := second.find(one); !p.Connected || !p.InstanceLost.IsZero() {
				t.Errorf("back: %+v", p)
			}
			end("peer_closed")
		})
	}
}

// awayStore does not answer.
type awayStore struct{ device.Store }

var errAway = errors.New("away")

func (awayStore) Load(context.Context, []string) ([]device.Kept, error) { return nil, errAway }
func (awayStore) List(context.Context, device.State, string, int) ([]device.Kept, error) {
	return nil, errAway
}

// While the store is away, what is known here is told, and that there may be more.
func TestPresenceWithoutTheStore(t *testing.T) {
	t.Parallel()
	m := startAs(t, "gate-1", awayStore{stores(t)["sqlite"]()})
	defer m.stop()
	_, end := m.connect(one)
	if p, known, err := m.Find(t.Context(), one); !known || !p.Connected || !errors.Is(err, errAway) {
		t.Errorf("%+v, %v, %v", p, known, err)
	}
	page, next, err := m.List(t.Context(), device.Query{State: device.StateAll, Limit: 10})
	if len(page) != 1 || next != "" || !errors.Is(err, errAway) {
		t.Errorf("%v, %q, %v", page, next, err)
	}
	if _, known, err := m.Find(t.Context(), "8"); known || !errors.Is(err, errAway) {
		t.Errorf("%v, %v", known, err)
	}
	end("peer_closed")
}

// Logins that are rejected take no room from the devices.
func TestRejectionsAreBounded(t *testing.T) {
	m := startAs(t, "gate-1", stores(t)["sqlite"]())
	defer m.stop()
	_, end := m.connect(one)
	defer end("peer_closed")
	for i := range 10_000 {
		m.Rejected(fmt.Sprint(i), device.Login{At: device.Time{Time: time.Now()}, Reason: device.LoginNotListed})
	}
	if n := len(m.list(device.StateGone, 1000)); n != 4096 {
		t.Errorf("%d rejected", n)
	}
	if n := m.Len(); n != 1 {
		t.Errorf("%d devices", n)
	}
	if p, known := m.Presence("9999"); !known || p.IMEI != "9999" || p.Login.Answer != device.LoginRejected {
		t.Errorf("%+v", p)
	}
	if _, known := m.Presence("0"); known {
		t.Error("the first one is remembered for ever")
	}
}
