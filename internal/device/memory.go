package device

import (
	"container/list"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// How many devices a Memory has room for. Those that only datagrams claim to come from have room of their own, since
// anybody can send a datagram in anybody's name.
const (
	maxDevices = 100_000
	maxClaimed = 16_384
)

// Options are a memory's settings. Store and Ask may be nil; without a Store nothing outlives the process, and without
// Ask nobody is asked.
type Options struct {
	Store        Store
	Reads        bool // of the store only: a process beside the service leaves keeping to that
	Ask          Ask
	Instance     string        // this one
	DatagramIdle time.Duration // how long a device counts as connected that sends datagrams
	Metrics      *Metrics
	Logger       *slog.Logger
}

// Memory is what is known of devices. Many goroutines may use it. A nil one knows nothing: Hold returns nil, and a nil
// Device has no Meaning.
type Memory struct {
	Options
	devices    *table
	claimed    *table
	rejections rejections
	run        Time // when this process began
	process    unique.Handle[process]
	dictionary atomic.Pointer[meaning.Dictionary]
	models     atomic.Pointer[Models]
	keeper     keeper
	learner    *learner // nil without Ask
}

// New returns a memory of no device, which knows the embedded dictionary and no model.
func New(o Options) *Memory { return newMemory(o, maxDevices, maxClaimed) }

func newMemory(o Options, devices, claimed int) *Memory {
	m := &Memory{Options: o, devices: newTable(devices), claimed: newTable(claimed), run: Time{time.Now()}}
	m.process = unique.Make(process{m.Instance, momentOf(m.run.Time)})
	m.rejections.byIMEI = make(map[string]*list.Element)
	m.dictionary.Store(meaning.Embedded())
	m.models.Store(&Models{})
	m.keeper = newKeeper(m, devices+claimed)
	if o.Ask != nil {
		m.learner = newLearner(m)
	}
	o.Metrics.of.Store(m)
	return m
}

// Hold returns the device that has logged in as imei. It waits for nothing.
func (m *Memory) Hold(imei string) *Device {
	if m == nil {
		return nil
	}
	return m.hold(m.devices, imei)
}

// HoldClaimed returns the device that a datagram says it comes from. What datagrams say is kept apart from what is said
// on connections.
func (m *Memory) HoldClaimed(imei string) *Device {
	if m == nil {
		return nil
	}
	return m.hold(m.claimed, imei+claimedSuffix)
}

func (m *Memory) hold(t *table, key string) *Device {
	d, first, evicted := t.hold(key, func() *Device { return m.newDevice(key) })
	m.keeper.evicted(evicted)
	d.used.Store(time.Now().UnixNano())
	if first {
		m.keeper.load(d)
	}
	return d
}

// newDevice is called with a lock of the table held, so that SetDictionary and SetModels cannot miss the device.
func (m *Memory) newDevice(key string) *Device {
	d := &Device{memory: m, key: key, loading: m.Store != nil}
	d.meaning = meaning.NewDevice(m.dictionary.Load(), d.imei())
	if d.claimed() {
		if vouched := m.devices.find(d.imei()); vouched != nil {
			vouched.mu.Lock()
			d.said = vouched.said
			vouched.mu.Unlock()
		}
	}
	d.identify()
	return d
}

// Release gives the device back.
func (d *Device) Release() {
	if d != nil {
		d.memory.keeper.evicted(d.memory.tableOf(d).release(d))
	}
}

// hasGone reports whether the device is in the table no more.
func (d *Device) hasGone() bool { return d.memory.tableOf(d).find(d.key) != d }

func (m *Memory) tableOf(d *Device) *table {
	if d.claimed() {
		return m.claimed
	}
	return m.devices
}

// SetDictionary has all devices read by another dictionary, each from its next record on.
func (m *Memory) SetDictionary(next *meaning.Dictionary) {
	m.dictionary.Store(next)
	m.each(func(d *Device) { d.meaning.Use(m.dictionary.Load()) })
}

// Dictionary is the one in use.
func (m *Memory) Dictionary() *meaning.Dictionary { return m.dictionary.Load() }

// SetModels puts another map of models in force, for each device from its next record on.
func (m *Memory) SetModels(next *Models) {
	m.models.Store(next)
	m.each((*Device).identify)
}

func (m *Memory) each(do func(*Device)) {
	for _, t := range []*table{m.devices, m.claimed} {
		for d := range t.all() {
			do(d)
		}
	}
}

// Answered takes a device's answer to a command. One to getver says which model and firmware it is.
func (m *Memory) Answered(imei string, answer []byte) {
	said, ok := parseGetver(imei, answer)
	if !ok {
		return
	}
	m.Metrics.asked(getverAnswered)
	d := m.Hold(imei) // it may have left since
	defer d.Release()
	if d.say(said) {
		m.Logger.Info("device has said its model", "imei", imei, "model", said.Model, "firmware", said.Firmware)
	}
	if claimed := m.claimed.find(imei + claimedSuffix); claimed != nil {
		claimed.say(said)
	}
}

// ByTransport counts the devices that are connected here, and those that sent datagrams lately.
func (m *Memory) ByTransport() map[string]int {
	now, counts := time.Now(), make(map[string]int)
	m.each(func(d *Device) {
		if transport := d.transport(now); transport != "" {
			counts[transport]++
		}
	})
	return counts
}

// Len is how many devices are known.
func (m *Memory) Len() int { return m.devices.len() + m.claimed.len() }

// Run loads and saves devices, and asks for models, until ctx ends. Then it saves what is new, for lastSave at most.
func (m *Memory) Run(ctx context.Context) {
	var running sync.WaitGroup
	background := func(run func(context.Context)) {
		running.Go(func() {
			defer logging.ExitOnPanic(m.Logger)
			run(ctx)
		})
	}
	if m.Store != nil {
		background(m.keeper.runLoads)
	}
	if m.Store != nil && !m.Reads {
		background(m.keeper.runSaves)
	}
	if m.learner != nil {
		background(m.learner.run)
	}
	running.Wait()
	m.keeper.last()
}

// How devices are kept.
const (
	loadBatch = 256
	saveBatch = 256
	saveEvery = 5 * time.Second // between two looks at what is new, 30 ms of a processor for a full table
	saveMost  = 5000            // in one look: devices that all come back at once are saved by and by
	saveAgain = 24 * time.Hour  // what is not new is saved all the same, or it would expire
	loadAgain = time.Minute     // where others save, too
	lastSave  = 2 * time.Second
	callTime  = 10 * time.Second // for one call of the store

	saveCounts = 5 * time.Minute  // what has only been counted
	beatEvery  = 30 * time.Second // for how long three times of it another instance is believed to live
)
