package overview

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

type words string

func (w words) String() string { return string(w) }

// nothing is what an Overview has when all is well and nobody is there.
func nothing(g prometheus.Gatherer) Options {
	none := func() []string { return nil }
	return Options{
		Gatherer: g, NotReady: none, Warnings: none, Durability: words("every record fsynced before its ACK"),
		Devices: func() map[string]int { return map[string]int{} },
	}
}

// TestStatus asks one that watches real metrics.
func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := prometheus.NewRegistry()
		counter := func(name string) prometheus.Counter {
			c := prometheus.NewCounter(prometheus.CounterOpts{Name: name})
			r.MustRegister(c)
			return c
		}
		gauge := func(name string, labels prometheus.Labels, value float64) {
			g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, ConstLabels: labels})
			g.Set(value)
			r.MustRegister(g)
		}
		in, stored, refusals := counter(received), counter(published), counter(refused)
		gauge(queueDepth, nil, 90)
		gauge(queueCapacity, nil, 100)
		gauge(engineInfo, prometheus.Labels{"engine": "sqlite 3", "class": "fsync"}, 1)
		gauge(consumerLag, prometheus.Labels{"group": "flespi"}, 12)
		gauge(certificateLeft, nil, 30*86400)
		options := nothing(r)
		options.NotReady = func() []string { return []string{"draining"} }
		counted := 0
		options.Devices = func() map[string]int { counted++; return map[string]int{"tls": 3} }
		o := New(options)
		if s := o.Status(); s.Ready || s.Queue.Capacity != 0 {
			t.Errorf("before the first look: %+v", s)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); o.Run(ctx) }()
		time.Sleep(time.Second / 2)
		for range 60 {
			in.Add(5)
			stored.Add(4)
			refusals.Add(1)
			time.Sleep(time.Second)
		}
		synctest.Wait()
		s, again := o.Status(), o.Status()
		if s.Records.Received.PerSecond != 5 || s.Records.Published.PerSecond != 4 || s.Records.Refused.PerSecond != 1 ||
			s.Records.Received.Total < 300 || s.Queue != (Queue{90, 100}) || s.Engine.Class != "fsync" ||
			s.Engine.Name != "sqlite 3" || *s.CertificateDays != 30 || s.Connections["tls"] != 3 ||
			len(s.Groups) != 1 || *s.Groups[0].Lag != 12 || s.Groups[0].Unread != nil || s.Reasons[0] != "draining" {
			t.Errorf("%+v", s)
		}
		if counted != 2 || again.Connections["tls"] != 3 {
			t.Errorf("devices counted %d times", counted)
		}
		if len(s.Alerts) != 1 || s.Alerts[0].Name != "IngestionQueueNearFull" || s.Alerts[0].Firing {
			t.Errorf("alerts %+v", s.Alerts)
		}
		time.Sleep(time.Minute + sampleEvery)
		synctest.Wait()
		if s := o.Status(); len(s.Alerts) != 1 || !s.Alerts[0].Firing {
			t.Errorf("alerts later %+v", s.Alerts)
		}
		cancel()
		<-ended
	})
}

// figures are a gathering of one metric, by group.
func figures(metric string, byGroup map[string]float64) []*dto.MetricFamily {
	family := &dto.MetricFamily{Name: &metric}
	for group, value := range byGroup {
		family.Metric = append(family.Metric, &dto.Metric{
			Gauge: &dto.Gauge{Value: &value}, Label: []*dto.LabelPair{{Name: new("group"), Value: &group}},
		})
	}
	return []*dto.MetricFamily{family}
}

// TestHistoryIsBounded: in time, and in figures whose names others choose.
func TestHistoryIsBounded(t *testing.T) {
	var h history
	at := time.Unix(1_700_000_000, 0)
	for i := range 3 * maxSamples {
		at = at.Add(sampleEvery)
		h.add(at, figures(consumerLag, map[string]float64{fmt.Sprint(i): 1}))
		if len(h.samples) > maxSamples || len(h.labels) > maxColumns+1 {
			t.Fatalf("%d samples of %d figures", len(h.samples), len(h.labels))
		}
	}
	if h.sum(consumerLag) != 1 {
		t.Errorf("%v groups now, want the one that is there", h.sum(consumerLag))
	}
}

// TestFigureThatComesAndGoes: what is not there is not 0, and a counter that comes began at 0.
func TestFigureThatComesAndGoes(t *testing.T) {
	var h history
	at := time.Unix(1_700_000_000, 0)
	for i, byGroup := range []map[string]float64{{}, {"a": 7, "b": 1}, {"b": 1}, {"a": 9, "b": 1}} {
		h.add(at.Add(time.Duration(i)*time.Minute), figures(consumerLag, byGroup))
		if there := h.there(consumerLag, is("group", "a")); there != (byGroup["a"] > 0) {
			t.Errorf("sample %d: there %v", i, there)
		}
	}
	a := is("group", "a")
	if all := h.increase(time.Hour, consumerLag, a); all != 9 {
		t.Errorf("increase %v", all)
	}
	if last := h.increase(2*time.Minute, consumerLag, a); last != 2 {
		t.Errorf("increase of the last minutes %v", last)
	}
	if slope := h.slope(time.Hour, consumerLag, a); math.Abs(slope-2.0/120) > 1e-9 {
		t.Errorf("slope %v", slope)
	}
	if values := h.values(consumerLag, "group"); len(values) != 2 {
		t.Errorf("groups %q", values)
	}
}

// TestQuantile takes a real histogram apart.
func TestQuantile(t *testing.T) {
	r := prometheus.NewRegistry()
	latency := prometheus.NewHistogram(prometheus.HistogramOpts{Name: ackLatency, Buckets: []float64{1, 10, 20}})
	r.MustRegister(latency)
	var h history
	look := func(at int64) {
		gathered, err := r.Gather()
		if err != nil {
			t.Fatal(err)
		}
		h.add(time.Unix(at, 0), gathered)
	}
	latency.Observe(100)
	look(0)
	for range 50 {
		latency.Observe(0.5)
		latency.Observe(15)
	}
	look(60)
	for q, want := range map[float64]float64{0.25: 0.5, 0.5: 1, 0.75: 15, 1: 20} {
		if got := h.quantile(q, time.Minute, ackLatency); got != want {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
}
