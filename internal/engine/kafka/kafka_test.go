package kafka

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

func TestEngine(t *testing.T) {
	for _, partitions := range []int32{1, 8} {
		t.Run(fmt.Sprint(partitions, " partitions"), func(t *testing.T) {
			enginetest.Run(t, func(t *testing.T) enginetest.Harness { return harness(t, partitions) })
		})
	}
}

// harness is three topics of the shared broker, which the engine reaches through the relay.
func harness(t *testing.T, partitions int32) enginetest.Harness {
	topic := newTopics(t, broker, partitions, 1)
	relay := broker.Relay(0)
	join := func(t *testing.T) {
		if err := relay.Join(); err != nil {
			t.Fatal(err)
		}
	}
	return enginetest.Harness{
		Open: func(t *testing.T) engine.Engine {
			e := open(t, broker.RelayAddrs(), topic)
			e.patience = time.Second // the suite waits it out often
			return e
		},
		Records:     func(t *testing.T) []enginetest.Stored { return records(t, topic) },
		DeadLetters: func(t *testing.T) []enginetest.StoredDead { return deadLetters(t, topic) },
		Messages:    func(t *testing.T) []engine.Message { return messages(t, topic) },
		Break:       func(*testing.T) { relay.Cut() },
		Heal:        join,
		Hang:        func(*testing.T) { relay.Hang() },
		Resume:      func(*testing.T) { relay.Resume() },
		Lose:        func(t *testing.T) { replaceTopics(t, topic, partitions) },
		Inspector:   true, Tailer: true, DeadLetterStore: true, RecordReader: true, Consumable: true,
	}
}

// replaceTopics deletes the topics and makes them anew.
func replaceTopics(t *testing.T, topic string, partitions int32) {
	t.Helper()
	if _, err := broker.Admin.DeleteTopics(t.Context(), topic, topic+".dead", topic+".messages"); err != nil {
		t.Fatal(err)
	}
	makeTopics(t, broker, topic, partitions, 1)
}

func records(t testing.TB, topic string) (all []enginetest.Stored) {
	t.Helper()
	for _, r := range broker.Contents(t, topic) {
		h := headers(t, r, "id codec ts")
		all = append(all, enginetest.Stored{
			DeviceID: string(r.Key), Codec: h["codec"], Timestamp: parseTime(t, h["ts"]).UnixMilli(), Payload: string(r.Value),
		})
	}
	return all
}

func deadLetters(t testing.TB, topic string) (all []enginetest.StoredDead) {
	t.Helper()
	stored := broker.Contents(t, topic+".dead")
	removed := map[string]bool{}
	for _, r := range stored {
		removed[string(r.Key)] = removed[string(r.Key)] || r.Value == nil
	}
	for _, r := range stored {
		if removed[string(r.Key)] {
			continue
		}
		h := headers(t, r, "ts device_id reason codec transport")
		all = append(all, enginetest.StoredDead{
			DeviceID: h["device_id"], Codec: h["codec"], Reason: h["reason"], Received: parseTime(t, h["ts"]),
			Frame: parseHex(t, r.Value), Transport: h["transport"],
		})
	}
	return all
}

func messages(t testing.TB, topic string) (all []engine.Message) {
	t.Helper()
	for _, r := range broker.Contents(t, topic+".messages") {
		h := headers(t, r, "ts codec type sent")
		kind, err := strconv.Atoi(h["type"])
		if err != nil {
			t.Fatal(err)
		}
		m := engine.Message{
			DeviceID: string(r.Key), Codec: h["codec"], Type: byte(kind), Received: parseTime(t, h["ts"]),
			Payload: parseHex(t, r.Value),
		}
		if h["sent"] != "" {
			m.Sent = parseTime(t, h["sent"])
		}
		all = append(all, m)
	}
	return all
}

// headers are a record's headers, which have to have these names in this order.
func headers(t testing.TB, r *kgo.Record, want string) map[string]string {
	t.Helper()
	all, names := map[string]string{}, ""
	for i, h := range r.Headers {
		all[h.Key] = string(h.Value)
		if i > 0 {
			names += " "
		}
		names += h.Key
	}
	if names != want {
		t.Fatalf("the headers are %q, want %q", names, want)
	}
	return all
}

func parseTime(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04:05.000Z", s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func parseHex(t testing.TB, b []byte) []byte {
	t.Helper()
	out, err := hex.DecodeString(string(b))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPartitionIsKafkas compares with the client library's partitioner, which is that of Kafka's Java client.
func TestPartitionIsKafkas(t *testing.T) {
	theirs := kgo.StickyKeyPartitioner(nil).ForTopic("")
	for n := range 2000 {
		key := strconv.Itoa(n * 7919)[:1+n%4] + strconv.Itoa(n)
		for _, partitions := range []int{1, 3, 12, 1000} {
			want := theirs.Partition(&kgo.Record{Key: []byte(key)}, partitions)
			if got := partitionOf(key, partitions); int(got) != want {
				t.Fatalf("%q of %d is in partition %d, want %d", key, partitions, got, want)
			}
		}
	}
}
