package jetstream

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsjs "github.com/nats-io/nats.go/jetstream"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestWrongStreams are refused by Inspect, by Probe and by Store, each with what to do.
func TestWrongStreams(t *testing.T) {
	n := testkit.StartNATS(t, 1)
	usual := Options{URL: n.URL(), Shards: 1, Durability: Leader, Logger: slog.New(slog.DiscardHandler)}
	quorum, two := usual, usual
	quorum.Durability, two.Shards = Quorum, 2
	for _, c := range []struct {
		name    string
		options Options
		change  func(*natsjs.StreamConfig) // of the streams that the usual options make
		missing bool
		says    []string
		weak    bool // what it does promise is said as well
	}{
		{name: "missing", options: usual, missing: true, says: []string{
			"JETSTREAM_CREATE=true", "nats stream add TELEMETRY_0", "telemetry.teltonika.0.*", "--replicas 1"}},
		{name: "missing for quorum", options: quorum, missing: true, says: []string{"--replicas 3"}},
		{name: "one copy", options: quorum, says: []string{
			"1 copy in file storage", "nats stream edit TELEMETRY_0 --replicas 3", "JETSTREAM_DURABILITY=leader"}, weak: true},
		{name: "other shards", options: two, says: []string{"made for 1 shards", "set JETSTREAM_SHARDS=1"}},
		{name: "no shards said", options: usual, change: func(c *natsjs.StreamConfig) { c.Metadata = nil },
			says: []string{"--metadata telemetry.shards=1"}},
		{name: "no atomic batches", options: usual, change: func(c *natsjs.StreamConfig) { c.AllowAtomicPublish = false },
			says: []string{"nats stream edit TELEMETRY_0 --allow-batch", "2.12"}},
		{name: "no direct reading", options: usual, change: func(c *natsjs.StreamConfig) { c.AllowDirect = false },
			says: []string{"--allow-direct"}},
		{name: "no fence", options: usual, change: func(c *natsjs.StreamConfig) { c.Subjects = c.Subjects[:1] },
			says: []string{"has not the subject telemetry.teltonika.fence.0.*"}},
		{name: "no confirmation", options: usual, change: func(c *natsjs.StreamConfig) { c.NoAck = true },
			says: []string{"confirms nothing"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			empty(t, n)
			if !c.missing {
				makeStreams(t, n, &usual, c.change)
			}
			e, err := New(c.options)
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			d, err := e.Inspect(t.Context())
			wantSaid(t, "inspect", err, c.says)
			if c.weak && (!errors.Is(err, engine.ErrDurability) || d.Class != engine.MemoryOnly) {
				t.Errorf("inspect: %v, %+v", err, d)
			}
			_, err = e.Probe(t.Context())
			wantSaid(t, "probe", err, c.says)
			wantSaid(t, "store", e.Store(t.Context(), 0, enginetest.NewBatch(ofLane(e, 0), 0, 1)), c.says)
		})
	}
}

// ofLane is a device of the lane.
func ofLane(e *Engine, lane int) string {
	for n := 0; ; n++ {
		if device := strconv.Itoa(n); e.Lane(device) == lane {
			return device
		}
	}
}

// TestAnotherNumberOfShardsMakesNoStreams beside those that there are.
func TestAnotherNumberOfShardsMakesNoStreams(t *testing.T) {
	n := testkit.StartNATS(t, 1)
	one, two := open(t, n, 1), open(t, n, 2)
	defer one.Close()
	defer two.Close()
	if err := one.Store(t.Context(), 0, enginetest.NewBatch(tracker, 0, 1)); err != nil {
		t.Fatal(err)
	}
	err := two.Store(t.Context(), 1, enginetest.NewBatch(ofLane(two, 1), 0, 1))
	wantSaid(t, "store", err, []string{"made for 1 shards"})
	if messages := n.Messages("TELEMETRY_1", ">"); messages != nil {
		t.Errorf("TELEMETRY_1 has %d messages", len(messages))
	}
}

func makeStreams(t *testing.T, n *testkit.NATS, o *Options, change func(*natsjs.StreamConfig)) {
	t.Helper()
	for k := range engine.Kinds {
		config := o.wanted(k, 0)
		if change != nil {
			change(&config)
		}
		n.CreateStream(config)
	}
}

func wantSaid(t *testing.T, who string, err error, says []string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s finds nothing wrong", who)
		return
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%s does not say %q: %v", who, text, err)
		}
	}
}

// TestFewerShards is refused, although each of them looks right.
func TestFewerShards(t *testing.T) {
	n := testkit.StartNATS(t, 1)
	o := Options{URL: n.URL(), Shards: 1, Durability: Leader, Logger: slog.New(slog.DiscardHandler)}
	makeStreams(t, n, &o, nil)
	n.CreateStream(o.wanted(0, 1))
	e := open(t, n, 1)
	defer e.Close()
	_, err := e.Inspect(t.Context())
	wantSaid(t, "inspect", err, []string{"TELEMETRY_1", "more than 1 shards"})
}

// TestCheckSaysWhatItCannotSee of a cluster whose streams are as they should be.
func TestCheckSaysWhatItCannotSee(t *testing.T) {
	n := testkit.StartNATS(t, 3)
	e, err := New(Options{URL: n.URL(), Shards: 2, Durability: Quorum, Create: true,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	d, err := e.Inspect(t.Context())
	if err != nil || d.Class != engine.Replicated {
		t.Errorf("%+v, %v", d, err)
	}
	said := strings.Join(d.Warnings, "\n")
	for _, f := range d.Facts {
		said += "\n" + f.Name + " " + f.Value
	}
	for _, text := range []string{"sync_interval: always", "sync_interval not visible", "num_replicas 3", "storage file"} {
		if !strings.Contains(said, text) {
			t.Errorf("does not say %q:\n%s", text, said)
		}
	}
}

// TestGroups adds up what the durable consumers of all shards have not read.
func TestGroups(t *testing.T) {
	n := testkit.StartNATS(t, 1)
	e := open(t, n, 2)
	defer e.Close()
	for lane := range 2 {
		if err := e.Store(t.Context(), lane, enginetest.NewBatch(ofLane(e, lane), 0, 10)); err != nil {
			t.Fatal(err)
		}
		s, err := n.JetStream().Stream(t.Context(), streamName(engine.KindRecord, lane))
		if err != nil {
			t.Fatal(err)
		}
		config := natsjs.ConsumerConfig{Durable: "billing", AckPolicy: natsjs.AckExplicitPolicy}
		consumer, err := s.CreateConsumer(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		batch, err := consumer.Fetch(4)
		if err != nil {
			t.Fatal(err)
		}
		for m := range batch.Messages() {
			if err := m.Ack(); lane == 0 && err != nil {
				t.Fatal(err)
			}
		}
	}
	testkit.Eventually(t, "both shards' consumers are counted", func() bool {
		status, err := e.Probe(t.Context())
		g := status.Groups["billing"]
		return err == nil && len(status.Groups) == 1 && g.Lag == 12 && g.Unread == 12 && g.Oldest > 0
	})
}

// TestTooLargeRecord fails alone: its device's next ones, and all others, are stored.
func TestTooLargeRecord(t *testing.T) {
	n := testkit.StartNATS(t, 1, "max_payload: 8192")
	e := open(t, n, 1)
	defer e.Close()
	b := enginetest.NewBatch("A", 0, 4)
	b.Records[2].Payload = append(b.Records[2].Payload, make([]byte, 8192)...)
	other := enginetest.NewBatch("B", 0, 2)
	b.Records = append(b.Records, other.Records...)
	b = enginetest.Sized(b)
	if err := e.Store(t.Context(), 0, b); err != nil {
		t.Fatal(err)
	}
	for i, result := range b.Results {
		refused := errors.Is(result.Err, engine.ErrTooLarge)
		if want := i == 2; refused != want {
			t.Errorf("record %d: %v", i, result.Err)
		}
		if engine.IsTransient(result.Err) {
			t.Errorf("record %d is to be tried again: %v", i, result.Err)
		}
	}
	next := enginetest.NewBatch("A", 4, 1)
	if err := e.Store(t.Context(), 0, next); err != nil || next.Results[0].Err != nil {
		t.Errorf("%v, %v", err, next.Results[0].Err)
	}
	if stored := storedRecords(t, n, 1); len(stored) != 6 {
		t.Errorf("%d records are stored, want 6", len(stored))
	}
}

// TestTailOfFewerShards is refused before anything is shown: the records of the other shards would be missing.
func TestTailOfFewerShards(t *testing.T) {
	n := testkit.StartNATS(t, 1)
	two, one := open(t, n, 2), open(t, n, 1)
	defer two.Close()
	defer one.Close()
	if err := two.Store(t.Context(), 0, enginetest.NewBatch(ofLane(two, 0), 0, 1)); err != nil {
		t.Fatal(err)
	}
	for _, fromStart := range []bool{false, true} {
		err := one.Tail(t.Context(), fromStart, func([]byte) error { return errors.New("a record was shown") })
		wantSaid(t, "tail", err, []string{"was made for 2 shards", "JETSTREAM_SHARDS=2"})
	}
}

// TestPermissions: a server does not answer what a user may not do. Whoever asks is told what that is, and the log
// does not get a line for each record.
func TestPermissions(t *testing.T) {
	n := testkit.StartNATS(t, 1, `authorization { users: [
		{user: root, password: root}
		{user: limited, password: hunter2, permissions: {publish: "$JS.API.>", subscribe: "_INBOX.>"}}
	]}`, "no_auth_user: root")
	root := open(t, n, 1)
	if err := root.Store(t.Context(), 0, enginetest.NewBatch("A", 0, 3)); err != nil {
		t.Fatal(err)
	}
	if err := root.Close(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	e, err := New(Options{
		URL: "nats://limited:hunter2@" + n.Addr(0), Shards: 1, Durability: Leader,
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, probed := e.Probe(ctx)
	ctx, cancel = context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	stored := e.Store(ctx, 0, enginetest.NewBatch("A", 3, 500))
	for who, err := range map[string]error{"probe": probed, "store": stored} {
		if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), "telemetry.teltonika.") {
			t.Errorf("%s does not say what is forbidden: %v", who, err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(log.String(), "\n"); lines > 10 || strings.Contains(log.String(), "hunter2") {
		t.Errorf("%d lines in the log:\n%s", lines, log.String())
	}
}
