package overview

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// What is remembered: an hour, which is as long as an alert looks back, and so many figures. Only consumer groups that
// come and go could make more of them than the program has; then the history begins anew.
const (
	sampleEvery = 5 * time.Second
	remembered  = time.Hour
	maxSamples  = int(remembered/sampleEvery) + 1
	maxColumns  = 1024
)

// history is what figures have been at every sampleEvery, up to now. The zero value is empty.
type history struct {
	columns map[string]int   // by metric and labels
	of      map[string][]int // columns of a metric
	labels  []map[string]string
	samples []sample // oldest first
}

// sample is what the figures were at a moment, by column. One that was not there is NaN, or beyond the end.
type sample struct {
	at     time.Time
	values []float64
}

// add takes in a gathering, as far as the metrics are wanted.
func (h *history) add(at time.Time, gathered []*dto.MetricFamily) {
	if len(h.labels) > maxColumns {
		*h = history{}
	}
	s := sample{at, slices.Repeat([]float64{math.NaN()}, len(h.labels))}
	for _, family := range gathered {
		if !wanted[family.GetName()] {
			continue
		}
		for _, m := range family.GetMetric() {
			h.addMetric(&s, family.GetName(), m)
		}
	}
	if len(h.samples) == maxSamples {
		h.samples = slices.Delete(h.samples, 0, 1)
	}
	h.samples = append(h.samples, s)
}

func (h *history) addMetric(s *sample, name string, m *dto.Metric) {
	labels := make(map[string]string, len(m.GetLabel()))
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	switch {
	case m.GetCounter() != nil:
		h.set(s, name, labels, m.GetCounter().GetValue())
	case m.GetGauge() != nil:
		h.set(s, name, labels, m.GetGauge().GetValue())
	case m.GetHistogram() != nil:
		h.set(s, name+"_count", labels, float64(m.GetHistogram().GetSampleCount()))
		for _, b := range m.GetHistogram().GetBucket() {
			with := maps.Clone(labels)
			with["le"] = strconv.FormatFloat(b.GetUpperBound(), 'g', -1, 64)
			h.set(s, name+"_bucket", with, float64(b.GetCumulativeCount()))
		}
	}
}

func (h *history) set(s *sample, metric string, labels map[string]string, value float64) {
	var key strings.Builder
	key.WriteString(metric)
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		key.WriteString("\x00" + name + "\x00" + labels[name])
	}
	column, known := h.columns[key.String()]
	if !known {
		if h.columns == nil {
			h.columns, h.of = make(map[string]int), make(map[string][]int)
		}
		column = len(h.labels)
		h.columns[key.String()] = column
		h.of[metric] = append(h.of[metric], column)
		h.labels = append(h.labels, labels)
		s.values = append(s.values, 0)
	}
	s.values[column] = value
}

// value is NaN if the figure was not there.
func (s *sample) value(column int) float64 {
	if column >= len(s.values) {
		return math.NaN()
	}
	return s.values[column]
}

// match says which of a metric's figures are meant.
type match func(labels map[string]string) bool

func is(label string, values ...string) match {
	return func(labels map[string]string) bool { return slices.Contains(values, labels[label]) }
}

func isNot(label string, values ...string) match {
	return func(labels map[string]string) bool { return !slices.Contains(values, labels[label]) }
}

func (h *history) latest() *sample { return &h.samples[len(h.samples)-1] }

// before is the sample of that long ago, or the oldest one if there is none so old.
func (h *history) before(ago time.Duration) *sample {
	at := h.latest().at.Add(-ago)
	i, _ := slices.BinarySearchFunc(h.samples, at, func(s sample, at time.Time) int { return s.at.Compare(at) })
	return &h.samples[i]
}

// since are the samples from that long ago on.
func (h *history) since(ago time.Duration) []sample {
	at := h.latest().at.Add(-ago)
	i, _ := slices.BinarySearchFunc(h.samples, at, func(s sample, at time.Time) int { return s.at.Compare(at) })
	return h.samples[i:]
}

// each calls fn with the columns of a metric that match.
func (h *history) each(metric string, matches []match, fn func(column int)) {
	for _, column := range h.of[metric] {
		if !slices.ContainsFunc(matches, func(m match) bool { return !m(h.labels[column]) }) {
			fn(column)
		}
	}
}

// sumAt is what the figures came to in a sample; 0 if none was there.
func (h *history) sumAt(s *sample, metric string, matches ...match) (sum float64) {
	h.each(metric, matches, func(column int) {
		if v := s.value(column); !math.IsNaN(v) {
			sum += v
		}
	})
	return sum
}

// sum is what the figures come to now.
func (h *history) sum(metric string, matches ...match) float64 {
	return h.sumAt(h.latest(), metric, matches...)
}

// there reports whether such a figure is there now.
func (h *history) there(metric string, matches ...match) (there bool) {
	h.each(metric, matches, func(column int) { there = there || !math.IsNaN(h.latest().value(column)) })
	return there
}

// values are those that a label of a metric has now.
func (h *history) values(metric, label string) []string {
	var all []string
	h.each(metric, nil, func(column int) {
		if !math.IsNaN(h.latest().value(column)) {
			all = append(all, h.labels[column][label])
		}
	})
	slices.Sort(all)
	return slices.Compact(all)
}

// increase is how much counters have grown in the time. One that was not there began at 0, as the process did.
func (h *history) increase(in time.Duration, metric string, matches ...match) float64 {
	return h.sum(metric, matches...) - h.sumAt(h.before(in), metric, matches...)
}

// rate is the increase in a second. In a younger history it is that of its whole time.
func (h *history) rate(in time.Duration, metric string, matches ...match) float64 {
	took := h.latest().at.Sub(h.before(in).at).Seconds()
	if took <= 0 {
		return 0
	}
	return h.increase(in, metric, matches...) / took
}

// slope is by how much a figure changes in a second, by the straight line that is nearest to what it was in the time.
func (h *history) slope(in time.Duration, metric string, matches ...match) float64 {
	var n, st, sv, stt, stv float64
	start := h.latest().at
	for _, s := range h.since(in) {
		h.each(metric, matches, func(column int) {
			if v := s.value(column); !math.IsNaN(v) {
				t := s.at.Sub(start).Seconds()
				n, st, sv, stt, stv = n+1, st+t, sv+v, stt+t*t, stv+t*v
			}
		})
	}
	if d := n*stt - st*st; d > 0 {
		return (n*stv - st*sv) / d
	}
	return 0
}

// quantile is below which value so large a part of a histogram's new observations lies, as Prometheus'
// histogram_quantile has it; 0 without any.
func (h *history) quantile(q float64, in time.Duration, metric string, matches ...match) float64 {
	all := h.increase(in, metric+"_count", matches...)
	var bounds []float64
	for _, le := range h.values(metric+"_bucket", "le") {
		bound, _ := strconv.ParseFloat(le, 64)
		bounds = append(bounds, bound)
	}
	slices.Sort(bounds)
	below, lower := 0.0, 0.0
	for _, upper := range bounds {
		le := is("le", strconv.FormatFloat(upper, 'g', -1, 64))
		upTo := h.increase(in, metric+"_bucket", append(slices.Clone(matches), le)...)
		if upTo >= q*all && upTo > below {
			return lower + (upper-lower)*(q*all-below)/(upTo-below)
		}
		below, lower = upTo, upper
	}
	return lower
}
