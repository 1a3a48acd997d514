package overview

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

const prometheusFolder = "../../deploy/prometheus"

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	alertBlock = regexp.MustCompile(`(?s)- alert: (\w+)\n(.*?)\n\s+annotations:`)
	heldFor    = regexp.MustCompile(`(?m)^\s+for: (\w+)$`)
	severityOf = regexp.MustCompile(`(?m)^\s+severity: (\w+)$`)
	metricName = regexp.MustCompile(`\b(?:teltonika|telemetry|process)_\w+`)
)

// TestRulesAreTheAlerts: every alert of alerts.yml is looked at, or said not to be; with its severity, its time, and
// from the metrics that it is made of.
func TestRulesAreTheAlerts(t *testing.T) {
	left := map[string]bool{}
	for _, n := range notEvaluated {
		left[n.Name] = true
	}
	byName := map[string]rule{}
	for _, r := range rules {
		byName[r.alert] = r
	}
	blocks := alertBlock.FindAllStringSubmatch(read(t, prometheusFolder+"/alerts.yml"), -1)
	if len(blocks) < 40 {
		t.Fatalf("%d alerts found", len(blocks))
	}
	for _, b := range blocks {
		r, known := byName[b[1]]
		if known == left[b[1]] {
			t.Errorf("%s: looked at %v, said not to be %v; it must be one of them", b[1], known, left[b[1]])
		}
		delete(byName, b[1])
		delete(left, b[1])
		if !known {
			continue
		}
		held := time.Duration(0)
		if m := heldFor.FindStringSubmatch(b[2]); m != nil {
			held, _ = time.ParseDuration(m[1])
		}
		if severity := severityOf.FindStringSubmatch(b[2])[1]; severity != r.severity || held != r.held {
			t.Errorf("%s: %s for %v, in alerts.yml %s for %v", r.alert, r.severity, r.held, severity, held)
		}
		for _, name := range metricName.FindAllString(b[2], -1) {
			if !wanted[strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_count")] {
				t.Errorf("%s: %s is not remembered", r.alert, name)
			}
		}
	}
	for name := range byName {
		t.Errorf("%s is no alert of alerts.yml", name)
	}
	for name := range left {
		t.Errorf("%s is said not to be looked at, and is no alert of alerts.yml", name)
	}
}

// scenario is a test of alerts.yml for promtool: what the metrics are at each step, and which alert is to fire when.
type scenario struct {
	file, name string
	step       time.Duration
	series     []series
	expected   []expectation
}

type series struct {
	metric   string
	labels   map[string]string
	instance string
	values   []string // by step; empty: not there
}

type expectation struct {
	alert     string
	at        time.Duration
	instances []string // where it fires; empty for an alert of all instances together
	fires     bool
}

var (
	scenarioStart = regexp.MustCompile(`(?m)^  - name: `)
	stepOf        = regexp.MustCompile(`(?m)^    interval: (\w+)$`)
	seriesOf      = regexp.MustCompile(`series: '(\w+)(?:\{(.*)\})?'\s+values: '(.*)'`)
	labelOf       = regexp.MustCompile(`(\w+)="([^"]*)"`)
	expectedOf    = regexp.MustCompile(`(?s)ALERTS\{alertname="(\w+)",alertstate="firing"\}\s+eval_time: (\w+)\s+` +
		`exp_samples:(.*?)(?:- expr|\z)`)
	valuesOf = regexp.MustCompile(`^(_|-?[\d.e+]+?)(?:([+-][\d.]+))?(?:x(\d+))?$`)
)

func scenarios(t *testing.T) (all []scenario) {
	files, err := filepath.Glob(prometheusFolder + "/tests/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		parts := scenarioStart.Split(read(t, file), -1)
		for _, text := range parts[1:] {
			name, rest, _ := strings.Cut(text, "\n")
			c := scenario{file: filepath.Base(file), name: name, step: time.Minute}
			if m := stepOf.FindStringSubmatch(rest); m != nil {
				c.step, _ = time.ParseDuration(m[1])
			}
			for _, m := range seriesOf.FindAllStringSubmatch(rest, -1) {
				c.series = append(c.series, parseSeries(t, m[1], m[2], m[3]))
			}
			for _, m := range expectedOf.FindAllStringSubmatch(rest, -1) {
				at, err := time.ParseDuration(m[2])
				if err != nil {
					t.Fatal(err)
				}
				e := expectation{alert: m[1], at: at, fires: !strings.HasPrefix(strings.TrimSpace(m[3]), "[]")}
				for _, l := range labelOf.FindAllStringSubmatch(m[3], -1) {
					if l[1] == "instance" {
						e.instances = append(e.instances, l[2])
					}
				}
				c.expected = append(c.expected, e)
			}
			all = append(all, c)
		}
	}
	return all
}

func parseSeries(t *testing.T, metric, labels, values string) series {
	s := series{metric: metric, labels: map[string]string{}}
	for _, l := range labelOf.FindAllStringSubmatch(labels, -1) {
		switch l[1] {
		case "instance":
			s.instance = l[2]
		case "job":
		default:
			s.labels[l[1]] = l[2]
		}
	}
	for _, word := range strings.Fields(values) {
		m := valuesOf.FindStringSubmatch(word)
		if m == nil {
			t.Fatalf("values %q", word)
		}
		times, _ := strconv.Atoi(m[3])
		if m[1] == "_" {
			s.values = append(s.values, slices.Repeat([]string{""}, max(times, 1))...)
			continue
		}
		first, _ := strconv.ParseFloat(m[1], 64)
		step, _ := strconv.ParseFloat(m[2], 64)
		for i := range times + 1 {
			s.values = append(s.values, fmt.Sprint(first+float64(i)*step))
		}
	}
	return s
}

// gather is what an instance's metrics are at a step. Histograms come as the counters that they are made of.
func (c *scenario) gather(instance string, step int) (all []*dto.MetricFamily) {
	for _, s := range c.series {
		if s.instance != instance || step >= len(s.values) || s.values[step] == "" {
			continue
		}
		value, _ := strconv.ParseFloat(s.values[step], 64)
		m := &dto.Metric{Gauge: &dto.Gauge{Value: &value}}
		for name, v := range s.labels {
			m.Label = append(m.Label, &dto.LabelPair{Name: &name, Value: &v})
		}
		all = append(all, &dto.MetricFamily{Name: &s.metric, Metric: []*dto.Metric{m}})
	}
	return all
}

// instances are those that have figures.
func (c *scenario) instances() (all []string) {
	for _, s := range c.series {
		all = append(all, s.instance)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// fires reports whether an alert fires at an instance.
func (c *scenario) fires(e *expectation, instance string) bool {
	o := New(Options{})
	start := time.Unix(1_700_000_000, 0)
	for step := 0; time.Duration(step)*c.step <= e.at; step++ {
		o.note(start.Add(time.Duration(step)*c.step), c.gather(instance, step))
	}
	return slices.ContainsFunc(o.alerts(start.Add(e.at)), func(a Alert) bool { return a.Name == e.alert && a.Firing })
}

// wrong says what is wrong with what fires at the instances, nothing if it is as expected. An alert of all instances
// together fires at one of them at least.
func (c *scenario) wrong(e *expectation) string {
	var firing []string
	for _, instance := range c.instances() {
		if c.fires(e, instance) {
			firing = append(firing, instance)
		}
	}
	if e.fires != (len(firing) > 0) || len(e.instances) > 0 && !slices.Equal(firing, e.instances) {
		return fmt.Sprintf("%s: %s: %s at %v fires at %q, want %v %q",
			c.file, c.name, e.alert, e.at, firing, e.fires, e.instances)
	}
	return ""
}

// TestAlertsFireAsInPrometheus does with the rules here what promtool does with those of alerts.yml: the same figures,
// the same alerts.
func TestAlertsFireAsInPrometheus(t *testing.T) {
	for _, name := range []string{ackLatency + "_bucket", ackLatency + "_count"} {
		wanted[name] = true // the tests have a histogram as the series that it is made of
		t.Cleanup(func() { delete(wanted, name) })
	}
	fired, silent := map[string]bool{}, map[string]bool{}
	for _, c := range scenarios(t) {
		for _, e := range c.expected {
			if !slices.ContainsFunc(rules, func(r rule) bool { return r.alert == e.alert }) {
				continue
			}
			if wrong := c.wrong(&e); wrong != "" {
				t.Error(wrong)
			}
			fired[e.alert], silent[e.alert] = fired[e.alert] || e.fires, silent[e.alert] || !e.fires
		}
	}
	for _, r := range rules {
		if !fired[r.alert] || !silent[r.alert] {
			t.Errorf("%s: tested to fire %v, to stay silent %v", r.alert, fired[r.alert], silent[r.alert])
		}
	}
}
