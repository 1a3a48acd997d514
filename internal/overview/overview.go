// Package overview is the service at a glance: its own figures, what they come to in a second, and which alerts they
// would raise. It asks nobody but the process's own metrics, so it answers also while the engine hangs.
package overview

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Options are what an Overview is made of.
type Options struct {
	Gatherer   prometheus.Gatherer
	NotReady   func() []string       // why the process should get no new devices
	Warnings   func() []string       // what else does not work
	Durability fmt.Stringer          // what the engine promises, in words
	Devices    func() map[string]int // those connected now, by transport; asked for every few seconds at most
}

// Overview knows the last hour of the process. Many goroutines may use it.
type Overview struct {
	Options

	mu      sync.Mutex
	history history
	since   map[string]time.Time // since when the condition of an alert has held

	counting sync.Mutex
	counted  map[string]int
	at       time.Time // of counted
}

// New returns one that has not looked yet.
func New(o Options) *Overview { return &Overview{Options: o, since: make(map[string]time.Time)} }

// Run looks every few seconds until ctx ends.
func (o *Overview) Run(ctx context.Context) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	for {
		o.look()
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// look takes a sample and judges by it. What could be gathered counts, also if some could not.
func (o *Overview) look() {
	gathered, _ := o.Gatherer.Gather()
	o.note(time.Now(), gathered)
}

func (o *Overview) note(now time.Time, gathered []*dto.MetricFamily) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.history.add(now, gathered)
	for i := range rules {
		switch r := &rules[i]; {
		case !r.holds(&o.history):
			delete(o.since, r.alert)
		case o.since[r.alert].IsZero():
			o.since[r.alert] = now
		}
	}
}

// connections counts the devices, but not again and again.
func (o *Overview) connections() map[string]int {
	o.counting.Lock()
	defer o.counting.Unlock()
	if now := time.Now(); o.counted == nil || now.Sub(o.at) >= sampleEvery {
		o.counted, o.at = o.Devices(), now
	}
	return o.counted
}

// Status is how the service is now. It waits for nothing but the count of devices.
func (o *Overview) Status() *Status {
	s := &Status{
		Reasons: o.NotReady(), Warnings: o.Warnings(), Connections: o.connections(), NotEvaluated: notEvaluated,
		Now: time.Now().UTC().Truncate(time.Millisecond), Alerts: []Alert{},
	}
	s.Ready = len(s.Reasons) == 0
	s.Engine.Durability = o.Durability.String()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.history.samples) == 0 {
		return s
	}
	s.readProcess(&o.history)
	s.readEngine(&o.history)
	s.readFlow(&o.history)
	s.Alerts = o.alerts(s.Now)
	return s
}

// alerts are those whose condition holds. It is called with mu held.
func (o *Overview) alerts(now time.Time) []Alert {
	all := []Alert{}
	for _, r := range rules {
		if since, holds := o.since[r.alert]; holds {
			all = append(all, Alert{
				Name: r.alert, Severity: r.severity, Since: since.UTC().Truncate(time.Millisecond),
				Firing: now.Sub(since) >= r.held, FiresAt: since.Add(r.held).UTC().Truncate(time.Millisecond),
			})
		}
	}
	return all
}

func (s *Status) readProcess(h *history) {
	if of := h.of[buildInfo]; len(of) > 0 {
		s.Instance, s.Version = h.labels[of[0]]["instance_id"], h.labels[of[0]]["version"]
	}
	if h.there(startTime) {
		s.Started = time.UnixMilli(int64(h.sum(startTime) * 1000)).UTC()
	}
}

func (s *Status) readEngine(h *history) {
	for _, class := range h.values(engineInfo, "class") {
		s.Engine.Class = class
	}
	for _, name := range h.values(engineInfo, "engine") {
		s.Engine.Name = name
	}
	s.Engine.Records = figure(h, streamLength)
	s.Engine.DeadLetterBytes = figure(h, deadLetterBytes)
	if left := figure(h, certificateLeft); left != nil {
		s.CertificateDays = new(*left / 86400)
	}
	s.Groups = []Group{}
	names := slices.Concat(h.values(unread, "group"), h.values(consumerLag, "group"))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		this := is("group", name)
		s.Groups = append(s.Groups, Group{
			Name: name, Unread: figure(h, unread, this), Lag: figure(h, consumerLag, this),
			OldestSeconds: figure(h, oldestUnread, this),
		})
	}
}

// figure is nil where there is none.
func figure(h *history, metric string, matches ...match) *float64 {
	if !h.there(metric, matches...) {
		return nil
	}
	return new(h.sum(metric, matches...))
}

// ratesOver is what records in a second are counted over.
const ratesOver = 10 * time.Second

func (s *Status) readFlow(h *history) {
	flow := func(metric string) Flow {
		perSecond := math.Round(h.rate(ratesOver, metric)*10) / 10
		return Flow{Total: uint64(h.sum(metric)), PerSecond: perSecond}
	}
	s.Records = Records{
		Received: flow(received), Published: flow(published), Duplicate: flow(duplicate),
		DeadLettered: flow(deadLettered), Refused: flow(refused),
	}
	s.Queue = Queue{Depth: int64(h.sum(queueDepth)), Capacity: int64(h.sum(queueCapacity))}
}
