package jetstream

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	natsjs "github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testkit.AfterDials(m)) }

// TestEngine runs the suite of all engines on one server, which every case finds empty.
func TestEngine(t *testing.T) {
	for _, shards := range []int{1, 8} {
		t.Run(fmt.Sprint(shards, " shards"), func(t *testing.T) {
			n := testkit.StartNATS(t, 1)
			enginetest.Run(t, func(t *testing.T) enginetest.Harness {
				empty(t, n)
				return harness(n, shards)
			})
		})
	}
}

func harness(n *testkit.NATS, shards int) enginetest.Harness {
	return enginetest.Harness{
		Open:        func(t *testing.T) engine.Engine { return open(t, n, shards) },
		Records:     func(t *testing.T) []enginetest.Stored { return storedRecords(t, n, shards) },
		DeadLetters: func(t *testing.T) []enginetest.StoredDead { return storedDead(t, n, shards) },
		Messages:    func(t *testing.T) []engine.Message { return storedMessages(t, n, shards) },
		Break:       func(*testing.T) { n.Kill(0) },
		Heal:        func(*testing.T) { n.Restart(0) },
		Hang:        func(*testing.T) { n.Freeze(0) },
		Resume:      func(*testing.T) { n.Thaw(0) },
		Lose:        func(t *testing.T) { empty(t, n) },
		Recogniser:  false, Inspector: true, Tailer: true, DeadLetterStore: true, RecordReader: true,
	}
}

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// open returns an engine that makes its streams on one server. The caller closes it.
func open(t testing.TB, n *testkit.NATS, shards int) *Engine {
	t.Helper()
	return openAt(t, n.URL(), shards)
}

func openAt(t testing.TB, url string, shards int) *Engine {
	t.Helper()
	e, err := New(Options{
		URL: url, Shards: shards, Durability: Leader, Create: true, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// empty deletes every stream.
func empty(t testing.TB, n *testkit.NATS) {
	t.Helper()
	testkit.Succeeds(t, "the streams' deletion", 20*time.Second, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		names := n.JetStream().StreamNames(ctx)
		for name := range names.Name() {
			if err := n.JetStream().DeleteStream(ctx, name); err != nil {
				return err
			}
		}
		return names.Err()
	})
}

// readStream shows what is stored of a kind, all shards.
func readStream(n *testkit.NATS, stream, subjects string, shards int, show func(natsjs.Msg)) {
	for shard := range shards {
		number := strconv.Itoa(shard)
		for _, m := range n.Messages(stream+number, subjects+number+".*") {
			show(m)
		}
	}
}

func device(m natsjs.Msg) string { return m.Subject()[strings.LastIndexByte(m.Subject(), '.')+1:] }

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Errorf("time %q: %v", text, err)
	}
	return at
}

// wantStored fails unless exactly the batches' records are stored, each once and in order.
func wantStored(t testing.TB, n *testkit.NATS, batches ...*engine.Batch) {
	t.Helper()
	var want []string
	for _, b := range batches {
		for i := range b.Records {
			want = append(want, string(b.Records[i].Payload))
		}
	}
	got := storedRecords(t, n, 1)
	for i := range min(len(got), len(want)) {
		if got[i].Payload != want[i] {
			t.Fatalf("record %d is %s, want %s", i, got[i].Payload, want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d records are stored, want %d", len(got), len(want))
	}
}

func storedRecords(t testing.TB, n *testkit.NATS, shards int) (all []enginetest.Stored) {
	readStream(n, "TELEMETRY_", "telemetry.teltonika.", shards, func(m natsjs.Msg) {
		all = append(all, enginetest.Stored{
			DeviceID: device(m), Codec: m.Headers().Get("codec"),
			Timestamp: moment(t, m.Headers().Get("ts")).UnixMilli(), Payload: string(m.Data()),
		})
	})
	return all
}

func storedDead(t testing.TB, n *testkit.NATS, shards int) (all []enginetest.StoredDead) {
	readStream(n, "TELEMETRY_DEAD_", "telemetry.teltonika.dead.", shards, func(m natsjs.Msg) {
		h := m.Headers()
		frame, err := hex.DecodeString(string(m.Data()))
		if err != nil {
			t.Error(err)
		}
		all = append(all, enginetest.StoredDead{
			DeviceID: device(m), Codec: h.Get("codec"), Reason: h.Get("reason"), Transport: h.Get("transport"),
			Received: moment(t, h.Get("ts")), Frame: frame,
		})
	})
	return all
}

func storedMessages(t testing.TB, n *testkit.NATS, shards int) (all []engine.Message) {
	readStream(n, "TELEMETRY_MESSAGES_", "telemetry.teltonika.messages.", shards, func(m natsjs.Msg) {
		h := m.Headers()
		payload, err := hex.DecodeString(string(m.Data()))
		if err != nil {
			t.Error(err)
		}
		kind, err := strconv.ParseUint(h.Get("type"), 10, 8)
		if err != nil {
			t.Error(err)
		}
		out := engine.Message{
			DeviceID: device(m), Codec: h.Get("codec"), Type: byte(kind), Payload: payload,
			Received: moment(t, h.Get("ts")),
		}
		if sent := h.Get("sent"); sent != "" {
			out.Sent = moment(t, sent)
		}
		all = append(all, out)
	})
	return all
}
