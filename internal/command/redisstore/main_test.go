package redisstore

import (
	"context"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/commandtest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(testkit.AfterDials(m)) }

// quick is a hundred times as fast as usual, and slow enough for a busy machine.
var quick = Timing{
	Heartbeat: 300 * time.Millisecond, Stabilization: 500 * time.Millisecond, Sweep: 20 * time.Millisecond,
	Grace:   100 * time.Millisecond,
	Janitor: 50 * time.Millisecond, Claim: 300 * time.Millisecond, Ended: 500 * time.Millisecond,
	MaxRetry: 200 * time.Millisecond,
}

// takeover is how long after a crash the other instances have noticed it.
const takeover = 3 * time.Second

// TestStore runs the suite of all command stores.
func TestStore(t *testing.T) {
	commandtest.Run(t, func(t *testing.T) commandtest.Backend {
		r := testkit.StartRedis(t)
		return commandtest.Backend{
			Open:     func(t *testing.T, instance string) command.Store { return small(open(t, r, instance)) },
			Crash:    func(_ *testing.T, s command.Store) { crash(s.(*Store)) },
			Results:  func(t *testing.T) []command.Entry { return results(t, r) },
			Events:   func(t *testing.T) []commandtest.Event { return events(t, r) },
			Shared:   true,
			Takeover: takeover,
		}
	})
}

// TestStoreOnSentinel has the same Redis found by its sentinels.
func TestStoreOnSentinel(t *testing.T) {
	n := testkit.StartSentinel(t, 1, time.Hour)
	r := n.Servers[0]
	commandtest.Run(t, func(t *testing.T) commandtest.Backend {
		r.Do("FLUSHALL")
		return commandtest.Backend{
			Open:     func(t *testing.T, instance string) command.Store { return small(openAt(t, n.URL(), instance)) },
			Crash:    func(_ *testing.T, s command.Store) { crash(s.(*Store)) },
			Results:  func(t *testing.T) []command.Entry { return results(t, r) },
			Events:   func(t *testing.T) []commandtest.Event { return events(t, r) },
			Shared:   true,
			Takeover: takeover,
		}
	})
}

// small has the store take few commands.
func small(s *Store) *Store {
	s.opt.MaxOpen = commandtest.MaxOpen
	return s
}

// open returns a store that is quick. The caller closes it.
func open(t testing.TB, r *testkit.Redis, instance string) *Store {
	t.Helper()
	return openAt(t, r.URL(), instance)
}

func openAt(t testing.TB, url, instance string) *Store {
	t.Helper()
	s, err := New(Options{URL: url, Instance: instance, Logger: slog.New(slog.DiscardHandler), Timing: quick})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// crash makes everything fail that the store does from now on. Redis sees what it sees of a process that was killed.
func crash(s *Store) {
	_ = s.client.Close()
	_ = s.blocking.Close()
}

// stream reads all of a stream with a client of its own.
func stream(t testing.TB, r *testkit.Redis, name string) []redis.XMessage {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: r.Addr(), Protocol: 2, DisableIdentity: true})
	defer func() { _ = c.Close() }()
	all, err := c.XRange(context.Background(), name, "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// text returns a field of an entry, which must be there.
func text(t testing.TB, m redis.XMessage, field string) string {
	t.Helper()
	s, ok := m.Values[field].(string)
	if !ok {
		t.Fatalf("entry %v has no field %q", m, field)
	}
	return s
}

// isoTime reads a time as results and events have it, or nothing.
func isoTime(t testing.TB, s string) time.Time {
	t.Helper()
	if s == "" {
		return time.Time{}
	}
	at, err := time.Parse(timeLayout, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func decodeResponse(t testing.TB, m redis.XMessage, field string) []byte {
	t.Helper()
	encoding := command.Encoding(text(t, m, "encoding"))
	raw, _ := m.Values[field+"_hex"].(string) // only there where it says something
	b, err := command.DecodeResponse(text(t, m, field), encoding, raw)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func results(t testing.TB, r *testkit.Redis) (all []command.Entry) {
	t.Helper()
	for _, m := range stream(t, r, "commands:responses") {
		all = append(all, command.Entry{
			Command: command.Command{ID: text(t, m, "id"), IMEI: text(t, m, "imei")}, State: command.State(text(t, m, "status")),
			Response: decodeResponse(t, m, "response"), Reason: text(t, m, "reason"),
			SentAt:     isoTime(t, text(t, m, "sent_at")),
			FinishedAt: isoTime(t, text(t, m, "finished_at")), Instance: text(t, m, "instance"),
		})
	}
	return all
}

func events(t testing.TB, r *testkit.Redis) (all []commandtest.Event) {
	t.Helper()
	for _, m := range stream(t, r, "commands:events") {
		codec, err := strconv.Atoi(text(t, m, "codec"))
		if err != nil {
			t.Fatal(err)
		}
		kind, err := strconv.Atoi(text(t, m, "type"))
		if err != nil {
			t.Fatal(err)
		}
		e := command.Event{Kind: command.Match(text(t, m, "kind")), Command: text(t, m, "id"), Message: command.Message{
			IMEI: text(t, m, "device_id"), Codec: teltonika.Codec(codec), Type: byte(kind), Named: text(t, m, "named"),
			Payload: decodeResponse(t, m, "payload"), Received: isoTime(t, text(t, m, "ts")),
		}}
		if sent := text(t, m, "timestamp"); sent != "" {
			e.Sent = uint32(isoTime(t, sent).Unix())
		}
		size, err := strconv.Atoi(text(t, m, "size"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, commandtest.Event{Event: e, Size: size})
	}
	return all
}
