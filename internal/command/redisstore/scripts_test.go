package redisstore

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestTimesOfResults(t *testing.T) {
	r := testkit.StartRedis(t)
	s := open(t, r, "a")
	defer func() { _ = s.Close() }()
	iso := redis.NewScript(source("prelude") + "return iso(ARGV[3])")
	times := []time.Time{
		time.UnixMilli(0), time.UnixMilli(1), time.UnixMilli(951782399999), time.UnixMilli(951782400000),
		time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC),
		time.Date(2100, 2, 28, 23, 59, 59, 0, time.UTC), time.Date(2100, 3, 1, 0, 0, 0, 0, time.UTC),
		time.Date(2000, 12, 31, 0, 0, 0, 0, time.UTC),
	}
	for day := range 1500 { // every one of four years, and what is odd about a day
		at := time.Date(2023, 12, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, day)
		times = append(times, at.Add(time.Duration(day)*61_001*time.Millisecond))
	}
	for _, at := range times {
		got, err := s.eval(context.Background(), iso, milliseconds(at))
		if want := at.UTC().Format(timeLayout); err != nil || got != want {
			t.Fatalf("iso(%d) = %v, want %s, %v", at.UnixMilli(), got, want, err)
		}
	}
	if got, err := s.eval(context.Background(), iso, ""); err != nil || got != "" {
		t.Errorf("no time is %q, %v", got, err)
	}
}

// aclOf returns the rights that the README asks for, as one line for ACL SETUSER.
func aclOf(t *testing.T) []any {
	t.Helper()
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "ACL SETUSER tcp-ingestion ")
	rules, _, ended := strings.Cut(rest, "```")
	if !found || !ended {
		t.Fatal("the README does not say which rights are needed")
	}
	var all []any
	for _, word := range strings.Fields(strings.ReplaceAll(rules, "\\\n", " ")) {
		all = append(all, word)
	}
	return all
}

// TestRightsInTheReadmeAreEnough uses everything with no right more. Each of the calls fails if a right is taken away
// that it needs.
func TestRightsInTheReadmeAreEnough(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Do(append([]any{"ACL", "SETUSER", "tcp-ingestion", "reset", "on", ">secret"}, aclOf(t)...)...)
	r.Do("CONFIG", "RESETSTAT")
	var log testkit.Log
	with := func(instance string) *Store {
		timing := quick
		timing.Retire = time.Second
		s, err := New(Options{URL: "redis://tcp-ingestion:secret@" + r.Addr(), Instance: instance, Timing: timing,
			Logger:  slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
			Metrics: prometheus.NewRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	ctx := context.Background()
	dead := run(t, with("dead"))
	a := run(t, with("a"))
	here := dead.connect(deviceA)
	c, left, gone := newCommand(deviceA), newCommand(deviceA), newCommand(deviceA)
	a.submit(t, c)
	dead.wantReceived(t, c.ID)
	a.submit(t, left)
	a.submit(t, gone)
	if _, err := a.Cancel(ctx, gone.ID); err != nil {
		t.Error(err)
	}
	if _, err := a.List(ctx, command.Query{IMEI: deviceA, Limit: 1}); err != nil {
		t.Error(err)
	}
	dead.grant(t, c.ID, patient)
	if err := dead.Withdraw(ctx, c.ID); err != nil {
		t.Error(err)
	}
	e := dead.grant(t, c.ID, patient)
	if _, _, err := a.Settle(ctx, answer(deviceA, "yes"), patient); err != nil {
		t.Error(err)
	}
	if _, err := a.Finish(ctx, e.Finished(command.TimedOut, "x", time.Now()), patient); err != nil {
		t.Error(err)
	}
	if err := a.Publish(ctx, &command.Event{Message: *answer(deviceA, "x"), Kind: command.MatchNone}); err != nil {
		t.Error(err)
	}
	dead.Disconnect(here)
	if err := dead.Return(ctx, left.ID); err != nil {
		t.Error(err)
	}
	dead.connect(deviceA)
	wantHolder(t, r, deviceA, "dead")
	dead.crash()
	r.Do("XADD", "commands:inbox", "*", "payload", "x")
	a.connect(deviceA)
	a.wantReceived(t, left.ID)
	soon := newCommand(deviceB)
	soon.Expires = soon.Created.Add(100 * time.Millisecond)
	a.submit(t, soon)
	a.wantEnd(t, r, soon.ID, command.Expired)
	testkit.Eventually(t, "the dead instance being forgotten", func() bool {
		return r.Do("ZSCORE", "commands:instances", "dead") == nil
	})
	a.stop()
	if strings.Contains(log.String(), "NOPERM") {
		t.Errorf("rights are missing:\n%s", log.String())
	}
	for _, line := range r.Do("ACL", "LOG").([]any) {
		t.Errorf("denied: %v", line)
	}
	unusedRights(t, r)
}

// unusedRights makes sure that the README asks for nothing that is not used.
func unusedRights(t *testing.T, r *testkit.Redis) {
	t.Helper()
	stats := r.Do("INFO", "commandstats").(string)
	for _, rule := range aclOf(t) {
		name, isCommand := strings.CutPrefix(rule.(string), "+")
		if isCommand && !strings.Contains(stats, "cmdstat_"+name+":") {
			t.Errorf("%s is never used", name)
		}
	}
}

func TestMetricsOfFailures(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Kill()
	s := open(t, r, "a")
	s.metrics = newMetrics(prometheus.NewRegistry())
	run(t, s)
	testkit.Eventually(t, "a failure being counted", func() bool {
		return testutil.ToFloat64(s.metrics.failures.WithLabelValues(workBeat)) > 0
	})
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for name, o := range map[string]Options{
		"no URL":      {Instance: "a"},
		"scheme":      {Instance: "a", URL: "http://user:secret@localhost"},
		"escape":      {Instance: "a", URL: "redis://user:secret%zz@localhost"},
		"database":    {Instance: "a", URL: "redis://user:secret@localhost/x"},
		"no instance": {URL: "redis://localhost"},
	} {
		_, err := New(o)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
