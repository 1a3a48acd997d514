package simulate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// fleet is what the devices of one run share. Nothing in it is locked while frames go to and fro.
type fleet struct {
	options *Options
	meter   *meter
	dial    Dialer

	stopping, aborting context.Context // no new frames; nothing any more
	stop, abort        context.CancelFunc

	unsettled    atomic.Int64 // devices that have something to send still
	acknowledged *list
	executed     *list
	confirmed    *list
	failure      atomic.Pointer[string]
}

// Run runs a fleet until its Duration is over, its Records are acknowledged or ctx ends, then waits up to Drain
// for what is not acknowledged yet. The error is of the options, of what this machine allows, or of one of the lists;
// what the server does wrong is in the ledger.
//
// Options.Acknowledged gets a line `<imei>-<timestamp ms>-<16 hex digits>` for every acknowledged record, the
// digits being the xxHash64 of the record's bytes. A frame's lines are written before its device does anything
// else.
//
// Options.Confirmed gets a line `<imei>-<payload in hex>` for every message of a device's own accord that came before a
// frame which was acknowledged on the same connection: it must be stored. No two messages of a device are equal.
//
// Options.Executed gets a line of JSON for every command that a device has executed, before it answers:
// {"imei":"...","codec":12,"command":"getinfo","executed_at":"2026-01-02T03:04:05.678901Z"}. A command that is not
// printable is in hex, and "hex":true is said. A command that was refused with a nACK is not in it.
func Run(ctx context.Context, options Options) (Ledger, error) {
	if err := options.Validate(); err != nil {
		return Ledger{}, err
	}
	if err := checkMachine(&options); err != nil {
		return Ledger{}, err
	}
	catalogues, err := newCatalogues()
	if err != nil {
		return Ledger{}, err
	}
	aborting, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	stopping, stop := context.WithCancel(ctx)
	defer stop()
	if options.Duration > 0 {
		defer time.AfterFunc(options.Duration, stop).Stop()
	}
	if options.Start.IsZero() {
		options.Start = time.Now()
		if options.Rate == 0 {
			options.Start = options.Start.Add(-fullRateBacklog)
		}
	}
	f := &fleet{
		options: &options, meter: newMeter(4 * runtime.GOMAXPROCS(0)), dial: newDialer(&options),
		stopping: stopping, aborting: aborting, stop: stop, abort: abort,
	}
	f.acknowledged = newList("list of acknowledged records", options.Acknowledged)
	f.executed = newList("list of executed commands", options.Executed)
	f.confirmed = newList("list of confirmed messages", options.Confirmed)
	f.unsettled.Store(int64(options.Devices))
	defer context.AfterFunc(stopping, func() { time.AfterFunc(options.Drain, abort) })()
	stopProgress := f.reportProgress()
	f.runDevices(catalogues)
	stopProgress()
	return f.ledger(), errors.Join(f.acknowledged.error(), f.executed.error(), f.confirmed.error())
}

// runDevices starts the devices at the pace of the ramp and returns when all have finished.
func (f *fleet) runDevices(catalogues map[teltonika.Codec]*catalogue) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range f.options.Devices {
		if f.options.Ramp > 0 {
			at := time.Duration(float64(i) / f.options.Ramp * float64(time.Second))
			if ahead := at - f.now(); ahead > time.Millisecond {
				f.pause(ahead, false)
			}
		}
		if f.stopped() {
			return
		}
		d := f.newDevice(i, catalogues)
		wg.Go(d.run)
	}
}

// fullRateBacklog is how long before a run without a rate its devices' clocks begin. They record every second, which is
// far more than is sent, so no record is ahead of the time. A device that has caught up records every millisecond.
const fullRateBacklog = 7 * 24 * time.Hour

// The random streams of a device.
const (
	recordStream = iota
	faultStream
	streams
)

// modelStream is apart: what a device is belongs to its IMEI, whatever the seed. A device with other elements in each
// run would be of a family that no real device is of.
const modelStream = 1 << 63

func (f *fleet) newDevice(i int, catalogues map[teltonika.Codec]*catalogue) *device {
	o := f.options
	rng := *rand.NewPCG(o.Seed, uint64(i*streams+recordStream))
	imei := fmt.Sprintf("%d", o.IMEIBase+uint64(i))
	login, err := teltonika.AppendLogin(nil, imei)
	if err != nil {
		panic(err) // 15 digits are a login
	}
	interval := time.Duration(0)
	step := int64(1000) // a fleet without a rate records every second of its own time
	if o.Rate > 0 {
		interval = max(1, time.Duration(float64(o.Devices)/o.Rate*float64(time.Second)))
		step = interval.Milliseconds()
	}
	model := rand.NewPCG(o.IMEIBase+uint64(i), modelStream)
	d := &device{
		fleet: f, number: i, imei: imei, login: login, identity: newIdentity(i),
		model:  newModel(o.Codecs, catalogues, model),
		shard:  f.meter.shard(i),
		faults: *rand.NewPCG(o.Seed, uint64(i*streams+faultStream)),
	}
	d.vehicle = newVehicle(&rng, o.Start.UnixMilli(), step)
	d.journal = journal{
		perFrame: o.RecordsPerFrame, order: o.Order, left: share(o.Records, o.Devices, i),
		interval: interval, next: f.now(), started: f.meter.start.UnixMilli(), capacity: o.Backlog, rng: rng,
	}
	if o.Transport == UDP {
		d.datagrams, d.frame.limit = newDatagrams(d), maxBody
	}
	d.journal.begin(&d.vehicle)
	d.scheduleMessage(time.Now())
	return d
}

// share is device i's part of all records, -1 without a limit.
func share(records int64, devices, i int) int64 {
	if records == 0 {
		return -1
	}
	n := records / int64(devices)
	if int64(i) < records%int64(devices) {
		n++
	}
	return n
}

// now is the time since the run's start.
func (f *fleet) now() time.Duration { return time.Since(f.meter.start) }

func (f *fleet) stopped() bool { return f.stopping.Err() != nil }
func (f *fleet) aborted() bool { return f.aborting.Err() != nil }

// settle notes that a device has nothing left to send. The last one ends the run.
func (f *fleet) settle() {
	if f.unsettled.Add(-1) == 0 {
		f.stop()
	}
}

// pause lets time pass, until the run ends; with work to do, until the drain is over.
func (f *fleet) pause(d time.Duration, working bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	ended := f.stopping.Done()
	if working {
		ended = f.aborting.Done()
	}
	select {
	case <-timer.C:
	case <-ended:
	}
}

// failed remembers why a connection failed and returns it.
func (f *fleet) failed(err error) error {
	if !f.aborted() {
		text := err.Error()
		f.failure.Store(&text)
	}
	return err
}

func (f *fleet) lastFailure() string {
	if text := f.failure.Load(); text != nil {
		return *text
	}
	return ""
}
