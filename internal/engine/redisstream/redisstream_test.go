package redisstream

import (
	"encoding/hex"
	"strconv"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const testStream = "telemetry:teltonika"

// durable is a Redis that keeps what it has confirmed through a kill -9.
var durable = []string{"--appendonly", "yes", "--appendfsync", "always"}

func TestEngine(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Harness {
		r := testkit.StartRedis(t, durable...)
		return enginetest.Harness{
			Open:        func(t *testing.T) engine.Engine { return open(t, r, Options{Recall: true}) },
			Records:     func(t *testing.T) []enginetest.Stored { return records(t, r) },
			DeadLetters: func(t *testing.T) []enginetest.StoredDead { return deadLetters(t, r) },
			Messages:    func(t *testing.T) []engine.Message { return messages(t, r) },
			Break:       func(*testing.T) { r.Kill() },
			Heal:        func(*testing.T) { r.Restart() },
			Hang:        func(*testing.T) { r.Freeze() },
			Resume:      func(*testing.T) { r.Thaw() },
			Lose:        func(*testing.T) { r.Do("FLUSHALL") },
			Inspector:   true, Tailer: true, DeadLetterStore: true, RecordReader: true, DeviceReader: true,
			Consumable: true,
		}
	})
}

// open makes an engine on the server; whoever asks for it closes it.
func open(t testing.TB, r *testkit.Redis, o Options) *Engine {
	t.Helper()
	if o.URL == "" {
		o.URL = r.URL()
	}
	o.Stream = testStream
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// entries reads a whole stream with a client of the test's own. Each entry's fields come with
// their names in front, in stored order.
func entries(t testing.TB, r *testkit.Redis, stream string) [][]string {
	t.Helper()
	return toEntries(r.Do("XRANGE", stream, "-", "+"))
}

func toEntries(answer any) [][]string {
	var all [][]string
	for _, e := range answer.([]any) {
		var fields []string
		for _, f := range e.([]any)[1].([]any) {
			fields = append(fields, f.(string))
		}
		all = append(all, fields)
	}
	return all
}

func records(t testing.TB, r *testkit.Redis) []enginetest.Stored {
	t.Helper()
	return toRecords(t, entries(t, r, testStream))
}

func toRecords(t testing.TB, entries [][]string) []enginetest.Stored {
	t.Helper()
	var all []enginetest.Stored
	for _, f := range entries {
		if names(f) != "ts device_id codec payload" {
			t.Fatalf("a record's fields are %q", f)
		}
		all = append(
			all,
			enginetest.Stored{Timestamp: parseTime(t, f[1]).UnixMilli(), DeviceID: f[3], Codec: f[5], Payload: f[7]},
		)
	}
	return all
}

func deadLetters(t testing.TB, r *testkit.Redis) []enginetest.StoredDead {
	t.Helper()
	return toDeadLetters(t, entries(t, r, testStream+":dead"))
}

func toDeadLetters(t testing.TB, entries [][]string) []enginetest.StoredDead {
	t.Helper()
	var all []enginetest.StoredDead
	for _, f := range entries {
		if names(f) != "ts device_id reason codec frame transport" {
			t.Fatalf("a dead letter's fields are %q", f)
		}
		frame, err := hex.DecodeString(f[9])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, enginetest.StoredDead{
			Received: parseTime(t, f[1]), DeviceID: f[3], Reason: f[5], Codec: f[7], Frame: frame, Transport: f[11],
		})
	}
	return all
}

func messages(t testing.TB, r *testkit.Redis) []engine.Message {
	t.Helper()
	return toMessages(t, entries(t, r, testStream+":messages"))
}

func toMessages(t testing.TB, entries [][]string) []engine.Message {
	t.Helper()
	var all []engine.Message
	for _, f := range entries {
		if names(f) != "ts device_id codec type sent payload" {
			t.Fatalf("a message's fields are %q", f)
		}
		kind, err := strconv.Atoi(f[7])
		if err != nil {
			t.Fatal(err)
		}
		payload, err := hex.DecodeString(f[11])
		if err != nil {
			t.Fatal(err)
		}
		m := engine.Message{Received: parseTime(t, f[1]), DeviceID: f[3], Codec: f[5], Type: byte(kind), Payload: payload}
		if f[9] != "" {
			m.Sent = parseTime(t, f[9])
		}
		all = append(all, m)
	}
	return all
}

// names are those of an entry's fields, in order.
func names(fields []string) string {
	var all []string
	for i := 0; i < len(fields); i += 2 {
		all = append(all, fields[i])
	}
	return strings.Join(all, " ")
}

func parseTime(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse("2006-01-02T15:04:05.000Z", s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}
