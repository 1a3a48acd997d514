package jetstream

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strconv"
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

// open returns an engine that makes its streams on one server. The caller closes it.
func open(t testing.TB, n *testkit.NATS, shards int) *Engine {
	t.Helper()
	e, err := New(Options{
		URL: n.URL(), Shards: shards, Durability: Leader, Create: true, Logger: slog.New(slog.DiscardHandler),
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

// readStream reads a stream of a kind, all shards, by consumers of the test's own.
func readStream(t testing.TB, n *testkit.NATS, kind string, shards int, show func(natsjs.Msg)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for shard := range shards {
		word := map[string]string{"": "", "DEAD_": "dead.", "MESSAGES_": "messages."}[kind]
		name := "TELEMETRY_" + kind + strconv.Itoa(shard)
		filter := fmt.Sprintf("telemetry.teltonika.%s%d.*", word, shard)
		var s natsjs.Stream
		var info *natsjs.StreamInfo
		testkit.Succeeds(t, name, 20*time.Second, func() (err error) {
			if s, err = n.JetStream().Stream(ctx, name); err == nil {
				info, err = s.Info(ctx, natsjs.WithSubjectFilter(filter))
			}
			if err == natsjs.ErrStreamNotFound {
				return nil
			}
			return err
		})
		if info == nil {
			continue
		}
		count := 0
		for _, messages := range info.State.Subjects {
			count += int(messages)
		}
		consumer, err := s.OrderedConsumer(ctx, natsjs.OrderedConsumerConfig{FilterSubjects: []string{filter}})
		if err != nil {
			t.Fatal(err)
		}
		for count > 0 {
			batch, err := consumer.Fetch(min(count, 1000), natsjs.FetchMaxWait(5*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			for m := range batch.Messages() {
				show(m)
				count--
			}
			if batch.Error() != nil {
				t.Fatal(batch.Error())
			}
		}
	}
}

func device(m natsjs.Msg) string {
	s := m.Subject()
	for i := len(s) - 1; ; i-- {
		if s[i] == '.' {
			return s[i+1:]
		}
	}
}

func moment(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Errorf("time %q: %v", text, err)
	}
	return at
}

func storedRecords(t testing.TB, n *testkit.NATS, shards int) (all []enginetest.Stored) {
	readStream(t, n, "", shards, func(m natsjs.Msg) {
		all = append(all, enginetest.Stored{
			DeviceID: device(m), Codec: m.Headers().Get("codec"),
			Timestamp: moment(t, m.Headers().Get("ts")).UnixMilli(), Payload: string(m.Data()),
		})
	})
	return all
}

func storedDead(t testing.TB, n *testkit.NATS, shards int) (all []enginetest.StoredDead) {
	readStream(t, n, "DEAD_", shards, func(m natsjs.Msg) {
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
	readStream(t, n, "MESSAGES_", shards, func(m natsjs.Msg) {
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
