package ops

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// shown are the figures as /metrics shows them, without help and type.
func shown(t *testing.T, r *prometheus.Registry) string {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range families {
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", f.GetName())
		}
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			lines = append(
				lines,
				fmt.Sprint(strings.TrimPrefix(f.GetName(), "telemetry_"), labels, " ",
					m.GetGauge().GetValue()+m.GetCounter().GetValue()),
			)
		}
	}
	return strings.Join(lines, "\n")
}

// notReady is shown of an engine of which nothing is known.
const notReady = "engine_ready[] 0\nshards_unavailable[] 1"

func TestFigures(t *testing.T) {
	unreadable := "g\xff"
	full := engine.Status{
		Known: true, Length: 5000, Limit: 1000, Memory: 900, MemoryLimit: 800, OutOfMemory: true,
		DeadLetterBytes: 70, DeadLetterLimit: 60, MessageBytes: 50, MessageLimit: 40, MessagesRemoved: 30, LostByEngine: 2,
		Groups: map[string]engine.Group{
			"slow":     {Lag: 3000, Unread: 4500, Oldest: 90 * time.Second, Expired: 44},
			"through":  {},
			"new":      {Lag: -1, Unread: -1, Oldest: time.Second},
			unreadable: {Lag: -1, Unread: -1, Oldest: -1},
		},
	}
	for _, c := range []struct {
		name   string
		status engine.Status
		err    error
		want   string
	}{
		{"nothing known", engine.Status{}, errors.New("refused"), notReady},
		{"small and embedded", engine.Status{Known: true, Length: 7}, nil,
			"dead_letter_bytes[] 0\nengine_lost_data_total[] 0\nengine_ready[] 1\n" +
				"message_bytes[] 0\nmessages_removed_total[] 0\nshards_unavailable[] 0\n" +
				"stream_length[] 7\nunread_beyond_limit_records[] 0"},
		{"full", full, errors.New("OOM"), `consumer_lag[group=slow] 3000
consumer_lag[group=through] 0
dead_letter_bytes[] 70
dead_letter_limit_bytes[] 60
engine_lost_data_total[] 2
engine_memory_bytes[] 900
engine_memory_limit_bytes[] 800
engine_out_of_memory[] 1
engine_ready[] 0
expired_unread_records[group="g\xff"] 0
expired_unread_records[group=new] 0
expired_unread_records[group=slow] 44
expired_unread_records[group=through] 0
memory_exhausted_in_seconds[] 0
message_bytes[] 50
message_limit_bytes[] 40
messages_removed_total[] 30
oldest_unread_seconds[group=new] 1
oldest_unread_seconds[group=slow] 90
oldest_unread_seconds[group=through] 0
shards_unavailable[] 1
stream_length[] 5000
unread_beyond_limit_records[] 3500
unread_records[group=slow] 4500
unread_records[group=through] 0`},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := prometheus.NewRegistry()
			m := NewMonitor(func(context.Context) (engine.Status, error) { return c.status, c.err }, r)
			if got := shown(t, r); got != notReady {
				t.Errorf("before the first probe:\n%s", got)
			}
			m.look(t.Context())
			if got := shown(t, r); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if !errors.Is(m.Err(), c.err) {
				t.Errorf("error %v, want %v", m.Err(), c.err)
			}
			old := *m.latest.Load()
			old.at = old.at.Add(-staleAfter - time.Second)
			m.latest.Store(&old)
			if got := shown(t, r); got != notReady {
				t.Errorf("after %v without an answer:\n%s", staleAfter, got)
			}
			if problems, err := testutil.GatherAndLint(r); err != nil || len(problems) > 0 {
				t.Errorf("%v, %v", problems, err)
			}
		})
	}
}

// TestFiguresDoNotWait scrapes while a probe hangs.
func TestFiguresDoNotWait(t *testing.T) {
	r := prometheus.NewRegistry()
	asked, answer := make(chan struct{}), make(chan struct{})
	m := NewMonitor(func(context.Context) (engine.Status, error) {
		close(asked)
		<-answer
		return engine.Status{Known: true, Length: 1}, nil
	}, r)
	done := make(chan struct{})
	go func() { defer close(done); m.look(t.Context()) }()
	<-asked
	start := time.Now()
	if got := shown(t, r); got != notReady || time.Since(start) > time.Second {
		t.Errorf("after %v:\n%s", time.Since(start), got)
	}
	close(answer)
	<-done
	if got := shown(t, r); !strings.Contains(got, "stream_length[] 1") {
		t.Errorf("after the answer:\n%s", got)
	}
}

// Of three shards one fails, then all: as long as one stores the process gets new devices, and says which ones do not.
func TestReadyWhileAShardStores(t *testing.T) {
	down := errors.New("down")
	e := testkit.NewShards(3)
	r := prometheus.NewRegistry()
	m := NewMonitor(e.Probe, r)
	look := func(figures ...string) {
		t.Helper()
		m.look(t.Context())
		for _, want := range figures {
			if got := shown(t, r); !strings.Contains(got, want+"\n") {
				t.Errorf("want %s, got\n%s", want, got)
			}
		}
	}
	e.FailShard(0, down)
	look("engine_ready[] 1", "shards_unavailable[] 1")
	if failed := m.Unavailable(); m.Err() != nil || len(failed) != 1 || !strings.Contains(failed[0].Error(), "shard 0") {
		t.Errorf("one of three: %v, %v", m.Err(), failed)
	}
	e.FailShard(1, down)
	e.HoldLane(2)
	look("engine_ready[] 0", "shards_unavailable[] 3")
	if failed := m.Unavailable(); !errors.Is(m.Err(), down) || len(failed) != 0 {
		t.Errorf("three of three: %v, %v", m.Err(), failed)
	}
	e.Release()
	look("engine_ready[] 1", "shards_unavailable[] 2")
}
