// Package devicetest is the suite that every store of devices passes.
package devicetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
)

// Run runs the suite. open returns a store of the same place each time within a test, with nothing in it at first.
func Run(t *testing.T, open func(t *testing.T) device.Store) {
	for _, c := range []struct {
		name string
		test func(*subject)
	}{
		{"what is saved is loaded", (*subject).savedIsLoaded},
		{"the last one counts", (*subject).lastCounts},
		{"it outlives the process", (*subject).outlives},
		{"many at once", (*subject).many},
		{"a list by state", (*subject).list},
		{"a list in pages", (*subject).pages},
		{"who is gone from here is connected elsewhere", (*subject).elsewhere},
		{"who lives", (*subject).heard},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(&subject{T: t, Store: open(t), open: open}) })
	}
}

type subject struct {
	*testing.T
	device.Store
	open func(t *testing.T) device.Store
}

const imei = "356307042441013"

func (s *subject) context() context.Context {
	ctx, cancel := context.WithTimeout(s.T.Context(), 20*time.Second)
	s.Cleanup(cancel)
	return ctx
}

func (s *subject) save(devices ...device.Kept) {
	s.Helper()
	if err := s.Save(s.context(), devices); err != nil {
		s.Fatal(err)
	}
}

// want loads devices, and expects these, in any order.
func (s *subject) want(imeis []string, want ...device.Kept) {
	s.Helper()
	got, err := s.Load(s.context(), imeis)
	if err != nil {
		s.Fatal(err)
	}
	slices.SortFunc(got, func(a, b device.Kept) int { return strings.Compare(a.IMEI, b.IMEI) })
	if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
		s.Errorf("loaded %+v, want %+v", got, want)
	}
}

func full(imei string) device.Kept {
	return device.Kept{
		IMEI: imei, Evidence: []byte{1, 0, 0xff, 0, '"', '\n'}, Model: "FMB640", Firmware: "03.28.07_00", Asked: 2,
		Presence: present(imei, true),
	}
}

// present is a presence in which nothing is missing.
func present(imei string, connected bool) *device.Presence {
	at := func(ms int64) device.Time { return device.Time{Time: time.UnixMilli(1_800_000_000_000 + ms).UTC()} }
	counts := device.Counts{
		Stored: 1, Duplicate: 2, DeadLettered: 3, Refused: 4, RefusedReason: "engine", Messages: 5, EmptyFrames: 6,
		Repeated: 7, WrongCRC: 8,
	}
	p := &device.Presence{
		IMEI: imei, Connected: connected, Instance: "gate-1", InstanceRun: at(1), Transport: "tls",
		Address: "[2001:db8::1]:40000", ConnectedAt: at(2), Codec: "8E", Frames: 8, Records: 9, FirstSeen: at(3),
		LastSeen: at(4), Model: "FMB640", Firmware: "03.28.07_00", Family: "fmx6",
		Login: device.Login{
			At: at(2), Answer: device.LoginDelayed, Reason: device.LoginBackoff, DelayMS: 2000, Address: "[2001:db8::1]:40000",
		},
		Logins: 10, TakenOver: 1,
		TakeOvers: []device.TakeOver{{At: at(5), From: "192.0.2.1:1", By: "192.0.2.2:2", Instance: "gate-1"}},
		Counts:    counts, Since: counts, LastStored: at(6),
		LastRecord: &device.LastRecord{
			Timestamp: at(7), Fix: "ok", Clock: "future", Latitude: -1, Longitude: 1_800_000_000, Speed: 42,
		},
		LastError: &device.Error{At: at(8), Cause: device.CauseCRC, Text: "<\x1b[31m\"ü>", First: []byte{0, 0xff, '\n'}},
	}
	if !connected {
		p.ClosedAt, p.CloseReason = at(9), "peer_closed"
	}
	return p
}

func (s *subject) savedIsLoaded() {
	s.want([]string{imei})
	only := device.Kept{IMEI: imei + "/udp", Evidence: []byte{0}}
	s.save(full(imei), only, full("Tracker7"))
	s.want([]string{imei, "another", imei + "/udp"}, full(imei), only)
	s.want(nil)
}

func (s *subject) lastCounts() {
	k := full(imei)
	s.save(k)
	k.Evidence, k.Model, k.Asked = []byte{7}, "FMC130", 0
	s.save(k)
	s.want([]string{imei}, k)
}

func (s *subject) outlives() {
	s.save(full(imei))
	if err := s.Close(); err != nil {
		s.Error(err)
	}
	s.Store = s.open(s.T)
	s.want([]string{imei}, full(imei))
}

func (s *subject) many() {
	const n = 300
	all, imeis := make([]device.Kept, n), make([]string, n)
	for i := range all {
		imeis[i] = fmt.Sprintf("%015d", 356307042000000+i)
		all[i] = full(imeis[i])
	}
	s.save(all...)
	s.want(imeis, all...)
}

// imeisOf lists devices.
func (s *subject) imeisOf(state device.State, after string, limit int) (imeis []string) {
	s.Helper()
	all, err := s.List(s.context(), state, after, limit)
	if err != nil {
		s.Fatal(err)
	}
	for _, k := range all {
		if k.Presence == nil || k.State() != state && state != device.StateAll {
			s.Errorf("listed as %s: %+v", state, k)
		}
		imeis = append(imeis, k.IMEI)
	}
	return imeis
}

func (s *subject) wantList(state device.State, want ...string) {
	s.Helper()
	if got := s.imeisOf(state, "", 100); !slices.Equal(got, want) {
		s.Errorf("%s: %v, want %v", state, got, want)
	}
}

func (s *subject) list() {
	s.wantList(device.StateAll)
	without := device.Kept{IMEI: "5", Model: "FMB640"} // nothing is known of who is there
	s.save(
		device.Kept{IMEI: "3", Presence: present("3", true)}, device.Kept{IMEI: "1", Presence: present("1", false)},
		device.Kept{IMEI: "2", Presence: present("2", true)}, device.Kept{IMEI: "3/udp", Presence: present("3", false)},
		without)
	s.wantList(device.StateAll, "1", "2", "3", "3/udp")
	s.wantList(device.StateConnected, "2", "3")
	s.wantList(device.StateGone, "1", "3/udp")
	s.save(device.Kept{IMEI: "2", Presence: present("2", false)}, device.Kept{IMEI: "1", Presence: present("1", true)})
	s.wantList(device.StateConnected, "1", "3")
	s.wantList(device.StateGone, "2", "3/udp")
}

func (s *subject) pages() {
	const n = 30
	var all []string
	for i := range n {
		imei := fmt.Sprintf("%015d", i)
		all = append(all, imei)
		s.save(device.Kept{IMEI: imei, Presence: present(imei, i%2 == 0)})
	}
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		page := s.imeisOf(device.StateAll, after, 7)
		if got = append(got, page...); len(page) < 7 {
			break
		}
	}
	if !slices.Equal(got, all) {
		s.Errorf("%v", got)
	}
	if page := s.imeisOf(device.StateConnected, all[10], 2); !slices.Equal(page, []string{all[12], all[14]}) {
		s.Errorf("%v", page)
	}
}

// elsewhere: the end of an older connection is saved after the newer one of another instance.
func (s *subject) elsewhere() {
	if !s.Shared() {
		return
	}
	there, here := present(imei, true), present(imei, false)
	there.Instance, there.ConnectedAt = "gate-2", device.Time{Time: here.ConnectedAt.Add(time.Second)}
	s.save(device.Kept{IMEI: imei, Presence: there})
	s.save(device.Kept{IMEI: imei, Presence: here, Model: "FMB641"})
	s.want([]string{imei}, device.Kept{IMEI: imei, Presence: there, Evidence: []byte{}, Model: "FMB641"})
	s.wantList(device.StateConnected, imei)
	here.ConnectedAt = device.Time{Time: there.ConnectedAt.Add(time.Second)}
	here.CloseReason = "taken_over" // by that one: the clock here is wrong, or there
	s.save(device.Kept{IMEI: imei, Presence: here})
	s.wantList(device.StateConnected, imei)
	here.CloseReason = "peer_closed" // it has come back meanwhile, and left
	s.save(device.Kept{IMEI: imei, Presence: here})
	s.wantList(device.StateGone, imei)
	there.Connected = false // there, too
	s.save(device.Kept{IMEI: imei, Presence: there})
	s.want([]string{imei}, device.Kept{IMEI: imei, Presence: there, Evidence: []byte{}, Model: "FMB641"})
}

func (s *subject) heard() {
	for _, run := range []string{"gate-1@1", "gate-2@1", "gate-1@1"} {
		if err := s.Beat(s.context(), run); err != nil {
			s.Fatal(err)
		}
	}
	if err := s.Forget(s.context(), []string{"gate-2@1", "gate-3@1"}); err != nil {
		s.Error(err)
	}
	heard, err := s.Heard(s.context())
	if age, ok := heard["gate-1@1"]; err != nil || len(heard) != 1 || !ok || age < -time.Second || age > 20*time.Second {
		s.Errorf("heard %v, %v", heard, err)
	}
}
