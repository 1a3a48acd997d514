package device

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testkit.AfterDials(m)) }

// imei is the n-th of a fleet's.
func imei(n int) string { return fmt.Sprintf("%015d", 356307042000000+n) }

// subject is a memory, and what it logs.
type subject struct {
	testing.TB
	*Memory
	log *testkit.Log
}

// newSubject returns a memory that runs until the test ends, or stop is called.
func newSubject(tb testing.TB, devices int, change func(*Options)) (s *subject, stop func()) {
	s = &subject{TB: tb, log: testkit.NewLog(tb)}
	o := Options{Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.NewTextHandler(s.log, nil))}
	if change != nil {
		change(&o)
	}
	s.Memory = newMemory(o, devices, devices)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	stop = func() {
		cancel()
		<-done
	}
	tb.Cleanup(stop)
	return s, stop
}

// element is one that the device sends.
func element(id uint16, w meaning.Width) meaning.Element { return meaning.Element{ID: id, Width: w} }

// layouts are as many as records: each is learnt from.
var layouts atomic.Uint64

// send has the device send a record of these elements, and returns how it is read.
func send(d *Device, elements ...meaning.Element) *meaning.Reader {
	return d.Meaning().Learn(meaning.Layout(layouts.Add(1)), elements)
}

// Elements that tell families apart: several that only FMx6 has in these widths.
var fmx6Elements = findElements(meaning.FMX6, meaning.FMB)

// findElements are some that the one family knows, and that contradict the other.
func findElements(yes, no meaning.Family) (all []meaning.Element) {
	widths := map[uint16]bool{}
	var d = meaning.Embedded()
	for def := range d.Definitions() {
		for _, f := range def.Families {
			if f == no {
				widths[def.ID] = true
			}
		}
	}
	for def := range d.Definitions() {
		if len(all) == 8 || def.Width == meaning.WidthX || len(def.Models) > 0 || !widths[def.ID] {
			continue
		}
		if len(d.Lookup(yes, "", def.ID, def.Width)) > 0 && len(d.Lookup(no, "", def.ID, def.Width)) == 0 {
			all = append(all, element(def.ID, def.Width))
		}
	}
	return all
}
