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
	}
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
