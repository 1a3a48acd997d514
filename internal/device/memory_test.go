package device_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/redisstore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/sqlitestore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

const (
	one    = "356307042441013"
	getver = "Ver:03.27.07_00 GPS:AXN_5.10_3333 Hw:FMC130 Mod:15 IMEI:" + one + " Init:2018-11-22 7:13 Uptime:17234"
)

// run is a memory of one process.
type run struct {
	*testing.T
	*device.Memory
	log  *testkit.Log
	stop func() // in order

	crash func() // what it would save is lost; of startAs only
}

// Model is the device's model, as it is told.
func (r *run) Model(imei string) string {
	p, _ := r.Presence(imei)
	return p.Model
}

func start(t *testing.T, store device.Store) *run { return startSized(t, store, 100_000) }

func startSized(t *testing.T, store device.Store, devices int) *run {
	r := &run{T: t, log: testkit.NewLog(t)}
	r.Memory = device.NewSized(device.Options{
		Store: store, Metrics: device.NewMetrics(prometheus.NewRegistry()),
		Logger: slog.New(slog.NewTextHandler(r.log, nil)),
	}, devices)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Memory.Run(ctx)
	}()
	r.stop = func() {
		cancel()
		<-done
		_ = store.Close()
	}
	return r
}

// learn has the device send elements that only FMx6 sends so.
func learn(d *device.Device) {
	d.Meaning().Learn(meaning.NewLayout, device.FMX6Elements)
}

// stores are the ones there are: the same place each time within a test.
func stores(t *testing.T) map[string]func() device.Store {
	server, dir := testkit.StartRedis(t), t.TempDir()
	return map[string]func() device.Store{
		"redis": func() device.Store {
			s, err := redisstore.New(server.URL(), "device-test")
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		"sqlite": func() device.Store {
			s, err := sqlitestore.New(dir, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	}
}

// What is known of a device is known again after a restart, and once more after its owner has said otherwise.
func TestMemoryOutlivesTheProcess(t *testing.T) {
	for name, open := range stores(t) {
		t.Run(name, func(t *testing.T) {
			first := start(t, open())
			d, only := first.Hold(one), first.Hold("Tracker7")
			learn(only)
			first.Hold("stranger").Release() // who has only logged in
			first.Answered(one, []byte(getver))
			only.Release()
			d.Release()
			first.stop()

			second := start(t, open())
			defer func() { second.stop() }()
			d, only = second.Hold(one), second.Hold("Tracker7")
			testkit.Eventually(t, "the model again", func() bool { return second.Model(one) == "FMC130" })
			if r := d.Meaning().Current(); r.By() != meaning.ByGetver || !r.Legacy() {
				t.Errorf("it is %v, old scale: %v", r, r.Legacy())
			}
			testkit.Eventually(t, "the evidence again", func() bool {
				return only.Meaning().Current().Family() == meaning.FMX6
			})
			store := open()
			defer store.Close()
			all, err := store.Load(t.Context(), []string{one, "Tracker7", "stranger"})
			if err != nil || len(all) != 2 {
				t.Errorf("kept: %+v, %v", all, err)
			}
		})
	}
}

// The map beats what the device says, which beats its elements. A device that says something new is that.
func TestMapBeatsGetverBeatsElements(t *testing.T) {
	m := start(t, stores(t)["sqlite"]())
	defer m.stop()
	d := m.Hold(one)
	defer d.Release()
	want := func(family meaning.Family, model string, by meaning.By) {
		t.Helper()
		if r := d.Meaning().Current(); r.Family() != family || r.Model() != model || r.By() != by || m.Model(one) != model {
			t.Errorf("it is %v, want %v %s by %v", r, family, model, by)
		}
	}
	learn(d)
	want(meaning.FMX6, "", meaning.ByElements)
	m.Answered(one, []byte("no model at all"))
	m.Answered(one, []byte(strings.Replace(getver, one, "356307042441014", 1)))
	want(meaning.FMX6, "", meaning.ByElements)
	m.Answered(one, []byte(getver))
	want(meaning.FMB, "FMC130", meaning.ByGetver)
	m.Answered(one, []byte(strings.Replace(getver, "FMC130", "FTC921", 1))) // other hardware
	want(meaning.FT, "FTC921", meaning.ByGetver)
	m.SetModels(device.ModelsOf(t, one+" FMB640\n"))
	want(meaning.FMX6, "FMB640", meaning.ByMap)
	m.SetModels(device.ModelsOf(t, "3563* ft\n")) // which goes with what it says
	want(meaning.FT, "FTC921", meaning.ByMap)
	m.SetModels(device.ModelsOf(t, ""))
	want(meaning.FT, "FTC921", meaning.ByGetver)
	if n := m.log.Count("device has said its model"); n != 2 {
		t.Errorf("%d lines", n)
	}
}

// What datagrams say, which anybody can send, changes nothing for the device that is connected.
func TestDatagramsAreApart(t *testing.T) {
	m := start(t, stores(t)["sqlite"]())
	defer m.stop()
	connected := m.Hold(one)
	defer connected.Release()
	m.Answered("356307042441099", nil)
	claimed := m.HoldClaimed(one)
	learn(claimed)
	claimed.Release()
	if f := connected.Meaning().Current().Family(); f != meaning.FMB {
		t.Errorf("the device that is connected is %v", f)
	}
	if again := m.HoldClaimed(one); again.Meaning().Current().Family() != meaning.FMX6 {
		t.Error("what datagrams have said is forgotten")
	} else {
		again.Release()
	}
	m.Answered(one, []byte(getver))
	claimed = m.HoldClaimed(one)
	defer claimed.Release()
	if r := claimed.Meaning().Current(); r.Model() != "FMC130" {
		t.Errorf("what the device says does not count for its datagrams: %v", r)
	}
}

// While the store is away or frozen nobody waits for it, and devices are what their elements say. It is said once.
// When the store is back it gets everything.
func TestStoreThatIsAway(t *testing.T) {
	t.Parallel()
	server := testkit.StartRedis(t, "--appendonly", "yes")
	open := func() device.Store {
		s, err := redisstore.New(server.URL(), "device-test")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := start(t, open())
	d := before.Hold(one)
	learn(d)
	d.Release()
	before.stop()

	for _, c := range []struct {
		name        string
		away, again func()
	}{
		{"killed", server.Kill, func() { server.Restart("--appendonly", "yes") }},
		{"frozen", server.Freeze, server.Thaw},
	} {
		m := start(t, open())
		c.away()
		longest := time.Duration(0)
		for i := range 2000 {
			at := time.Now()
			d := m.Hold(fmt.Sprint(c.name, i))
			learn(d)
			d.Release()
			longest = max(longest, time.Since(at))
		}
		known := m.Hold(one)
		testkit.Eventually(t, c.name+": noticed", func() bool { return m.log.Has("device store does not work") })
		if known.Meaning().Current().Family() != meaning.FMB {
			t.Errorf("%s: known already", c.name)
		}
		c.again()
		testkit.Eventually(t, c.name+": the evidence", func() bool {
			return known.Meaning().Current().Family() == meaning.FMX6
		})
		testkit.Eventually(t, c.name+": all are kept", func() bool {
			return server.Do("EXISTS", "device:"+c.name+"0", "device:"+c.name+"1999") == int64(2)
		})
		known.Release()
		m.stop()
		if n := m.log.Count("device store does not work"); n > 2 { // loading, and saving
			t.Errorf("%s: %d lines", c.name, n)
		}
		t.Logf("%s: a login waited for %v at most", c.name, longest)
		if longest > time.Second { // a call of the store takes 5 s to fail
			t.Errorf("%s: a login waited for %v", c.name, longest)
		}
	}
}

// A device that comes back from another instance brings what it has said there.
func TestDeviceThatMoves(t *testing.T) {
	open := stores(t)["redis"]
	here, there := start(t, open()), start(t, open())
	defer here.stop()
	here.Hold(one).Release()
	d := there.Hold(one)
	there.Answered(one, []byte(getver))
	d.Release()
	there.stop()
	device.Forgetful(here.Memory, one) // the time has passed after which it is asked for again
	d = here.Hold(one)
	defer d.Release()
	testkit.Eventually(t, "what it has said elsewhere", func() bool { return here.Model(one) == "FMC130" })
}

// While the store is away whoever makes devices up fills no more than there is room for, and the devices that are
// connected are loaded in the end.
func TestWaitingIsBounded(t *testing.T) {
	t.Parallel()
	const size = 1024
	server := testkit.StartRedis(t)
	store, err := redisstore.New(server.URL(), "device-test")
	if err != nil {
		t.Fatal(err)
	}
	m := startSized(t, store, size)
	defer func() { m.stop() }()
	server.Kill()
	connected := make([]*device.Device, 2*device.LoadBatch)
	for i := range connected {
		connected[i] = m.Hold(fmt.Sprint("honest", i))
		defer connected[i].Release()
	}
	for i := range 8 * size {
		d := m.Hold(fmt.Sprint("made-up", i))
		learn(d)
		d.Release()
	}
	waiting, gone := device.InHand(m.Memory)
	if len(waiting) > 2*size || gone > 10_000 {
		t.Errorf("%d devices wait, %d have gone", len(waiting), gone)
	}
	missing := 0
	for _, d := range connected {
		if !waiting[d] {
			missing++
		}
	}
	if missing > device.LoadBatch { // those that Redis is being asked for
		t.Errorf("%d of those that are connected do not wait any more", missing)
	}
	server.Restart()
	for _, d := range connected {
		testkit.Eventually(t, "loaded", func() bool { return d.Await(t.Context()) == nil })
	}
}
