package device

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// The values of labels.
const (
	callLoad = "load"
	callSave = "save"
	callBeat = "beat"

	resultOK     = "ok"
	resultFailed = "failed"

	newsKept = "kept"
	newsLost = "lost"

	getverAsked    = "asked"
	getverRefused  = "refused"
	getverFailed   = "failed"
	getverAnswered = "answered"

	readModels    = "models"
	readOverrides = "overrides"
)

// Metrics are a memory's figures.
type Metrics struct {
	of         atomic.Pointer[Memory]
	forgotten  *prometheus.CounterVec
	storeCalls *prometheus.CounterVec
	getver     *prometheus.CounterVec
	entries    *prometheus.GaugeVec
	readings   *prometheus.CounterVec
}

// NewMetrics registers a memory's metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &Metrics{
		forgotten: counters("teltonika_devices_forgotten_total",
			"Devices that went from memory for lack of room; what was news of them is kept by the store, or lost because "+
				"the store is away.", "news"),
		storeCalls: counters("teltonika_device_store_calls_total",
			"Calls of the store of devices: load, save, and beat (this process lives); ok, or failed and repeated.",
			"call", "result"),
		getver: counters("teltonika_getver_total",
			"Questions to devices for their model under LEARN_MODEL: asked, refused by the command policy, or failed "+
				"because the command could not be kept. And answered: answers that name a model, whoever asked.", "result"),
		entries: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "teltonika_dictionary_entries",
			Help: "Entries of DEVICE_MODELS and rows of DICTIONARY_OVERRIDES in use.",
		}, []string{"source"}),
		readings: counters("teltonika_dictionary_refresh_total",
			"Readings of DEVICE_MODELS and DICTIONARY_OVERRIDES: ok, or failed, which leaves the last good one in use.",
			"source", "result"),
	}
	remembered := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "teltonika_devices_remembered",
		Help: "Devices in memory, connected or not.",
	}, m.remembered)
	m.zero()
	r.MustRegister(m.forgotten, m.storeCalls, m.getver, m.entries, m.readings, remembered)
	return m
}

// zero has every series there from the start.
func (m *Metrics) zero() {
	for _, result := range []string{resultOK, resultFailed} {
		for _, call := range []string{callLoad, callSave, callBeat} {
			m.storeCalls.WithLabelValues(call, result)
		}
		for _, what := range []string{readModels, readOverrides} {
			m.readings.WithLabelValues(what, result)
		}
	}
	for _, result := range []string{getverAsked, getverRefused, getverFailed, getverAnswered} {
		m.getver.WithLabelValues(result)
	}
	for _, what := range []string{readModels, readOverrides} {
		m.entries.WithLabelValues(what)
	}
	m.forgot(newsKept, 0)
	m.forgot(newsLost, 0)
}

func (m *Metrics) remembered() float64 {
	if memory := m.of.Load(); memory != nil {
		return float64(memory.Len())
	}
	return 0
}

func resultOf(err error) string {
	if err != nil {
		return resultFailed
	}
	return resultOK
}

func (m *Metrics) forgot(news string, n int) { m.forgotten.WithLabelValues(news).Add(float64(n)) }

func (m *Metrics) called(call string, err error) {
	m.storeCalls.WithLabelValues(call, resultOf(err)).Inc()
}

func (m *Metrics) asked(result string) { m.getver.WithLabelValues(result).Inc() }

func (m *Metrics) read(what string, err error) { m.readings.WithLabelValues(what, resultOf(err)).Inc() }

func (m *Metrics) inUse(what string, entries int) {
	m.entries.WithLabelValues(what).Set(float64(entries))
}
