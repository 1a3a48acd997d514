package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const (
	buriedDevice = "356307042441013"
	otherDevice  = "352093081452251"
)

var buriedAt = time.Date(2026, 3, 1, 8, 30, 0, 250e6, time.UTC)

// frameOf is a frame of the records first to first+n-1, a second apart; with late, one beyond the year 9999 follows.
func frameOf(t testing.TB, first, n int, late bool) []byte {
	t.Helper()
	data := teltonika.AVLData{Codec: teltonika.Codec8E}
	for i := first; i < first+n; i++ {
		at := buriedAt.Add(time.Duration(i) * time.Second)
		data.Records = append(data.Records,
			teltonika.Record{Timestamp: uint64(at.UnixMilli()), Satellites: 9, Speed: uint16(i)})
	}
	if late {
		data.Records = append(data.Records, teltonika.Record{Timestamp: 253402300800000, Speed: uint16(first)})
	}
	frame, err := data.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// brokenFrame is a frame that no version can decode: number of data 2 is wrong.
func brokenFrame(t testing.TB) []byte {
	body := bytes.Clone(teltonika.Frame(frameOf(t, 0, 2, false)).Body())
	body[len(body)-1] = 7
	return teltonika.AppendFrame(nil, body)
}

// bury stores dead letters of the device, as a version would that could not decode the frames.
func (s store) bury(t testing.TB, reason string, frames ...[]byte) {
	t.Helper()
	c, err := config.Load(func(name string) string { return s.settings[name] })
	if err != nil {
		t.Fatal(err)
	}
	e, err := newEngine(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	b := &engine.Batch{Results: make([]engine.Result, len(frames))}
	for _, frame := range frames {
		b.DeadLetters = append(b.DeadLetters, engine.DeadLetter{
			DeviceID: buriedDevice, Codec: "8E", Reason: reason, Received: buriedAt, Frame: frame,
		})
	}
	if err := e.Store(t.Context(), 0, b); err != nil {
		t.Fatal(err)
	}
}

type listed struct {
	Ref      string `json:"ref"`
	Received string `json:"received"`
	DeviceID string `json:"device_id"`
	Reason   string `json:"reason"`
	Codec    string `json:"codec"`
	Bytes    int    `json:"bytes"`
	Claimed  int    `json:"records_claimed"`
}

// deadLetters runs the subcommand, which must exit with the code, and returns what it printed.
func (s store) deadLetters(t testing.TB, code int, args ...string) string {
	t.Helper()
	got, out, errOut := execute(t, s.settings, "", append([]string{"deadletters"}, args...)...)
	if got != code {
		t.Fatalf("deadletters %v: exit code %d, want %d\n%s%s", args, got, code, out, errOut)
	}
	return out + errOut
}

func (s store) listDeadLetters(t testing.TB, args ...string) []listed {
	t.Helper()
	var all []listed
	for line := range strings.Lines(s.deadLetters(t, 0, append([]string{"list", "--json"}, args...)...)) {
		var l listed
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, l)
	}
	return all
}

func forEachStore(t *testing.T, test func(t *testing.T, s store)) {
	for _, open := range []func(testing.TB) store{
		func(t testing.TB) store { return redisStore(t) }, embeddedStore, oneNATS, postgresStore,
	} {
		s := open(t)
		t.Run(s.name, func(t *testing.T) { test(t, s) })
	}
}

// document is what matters here of a stored record.
type document struct {
	DeviceID   string  `json:"device_id"`
	Timestamp  string  `json:"timestamp"`
	Latitude   float64 `json:"latitude"`
	Codec      string  `json:"codec"`
	ReceivedAt string  `json:"received_at"`
}

func (s store) documents(t testing.TB) (all []document) {
	t.Helper()
	for _, p := range s.payloads(t) {
		var d document
		if err := json.Unmarshal([]byte(p), &d); err != nil {
			t.Fatalf("payload %s: %v", p, err)
		}
		all = append(all, d)
	}
	return all
}

// wantOnce compares the time of receipt in the stored documents of the device's records first to last, each of
// which must be there once.
func (s store) wantOnce(t *testing.T, device string, first, last int, received string) {
	t.Helper()
	for i := first; i <= last; i++ {
		timestamp := buriedAt.Add(time.Duration(i) * time.Second).Format("2006-01-02T15:04:05.000Z")
		found := 0
		for _, d := range s.documents(t) {
			if d.DeviceID != device || d.Timestamp != timestamp {
				continue
			}
			found++
			if !strings.HasPrefix(d.ReceivedAt, received) {
				t.Errorf("record %d was not received at %s: %+v", i, received, d)
			}
		}
		if found != 1 {
			t.Errorf("record %d of %s is stored %d times, want once", i, device, found)
		}
	}
}

// TestDeadLetters goes through the life of dead letters beside a running server.
func TestDeadLetters(t *testing.T) {
	forEachStore(t, func(t *testing.T, s store) {
		d := testkit.Dial(t, startServer(t, s.settings).devices)
		d.MustLogin(otherDevice)
		for _, c := range []struct {
			frame   []byte
			records int
		}{{frameOf(t, 0, 3, false), 3}, {brokenFrame(t), 2}, {frameOf(t, 10, 2, true), 3}} {
			d.Send(c.frame)
			d.ExpectACK(c.records)
		}
		good := frameOf(t, 20, 4, false)
		s.bury(t, "malformed", good, good, frameOf(t, 30, 2, true))
		all := s.wantListed(t, len(good))
		s.wantDryRun(t, all)
		left := s.wantReplayed(t, all)
		s.wantDeleted(t, left)
	})
}

// wantListed looks at the dead letters of TestDeadLetters in every way, and returns them.
func (s store) wantListed(t *testing.T, size int) []listed {
	t.Helper()
	all := s.listDeadLetters(t)
	if len(all) != 5 || all[0].Reason != "malformed" || all[0].DeviceID != otherDevice || all[0].Claimed != 2 ||
		all[1].Reason != "timestamp" ||
		all[2] != (listed{all[2].Ref, "2026-03-01T08:30:00.250Z", buriedDevice, "malformed", "8E", size, 4}) {
		t.Fatalf("listed %+v", all)
	}
	for _, c := range []struct {
		args string
		want int
	}{{"--reason=malformed", 4}, {"--reason=timestamp", 1}, {"--device=" + buriedDevice, 3}, {"--limit=2",
		2}, {"--device=1", 0}} {
		if n := len(s.listDeadLetters(t, c.args)); n != c.want {
			t.Errorf("list %s: %d dead letters, want %d", c.args, n, c.want)
		}
	}
	if text := s.deadLetters(t, 0, "list"); strings.Count(text, "\n") != 5 ||
		!strings.Contains(text, "2 records claimed") {
		t.Errorf("list:\n%s", text)
	}
	if text := s.deadLetters(t, 0, "show", all[0].Ref); !strings.Contains(text, "NOT OK") ||
		!strings.Contains(text, "number of data 2") {
		t.Errorf("show:\n%s", text)
	}
	return all
}

func (s store) wantDryRun(t *testing.T, all []listed) {
	t.Helper()
	before := s.payloads(t)
	if text := s.deadLetters(t, 1, "replay", "--all", "--dry-run"); !strings.Contains(text,
		"3 can be replayed: 10 records") {
		t.Errorf("dry run:\n%s", text)
	}
	if !slices.Equal(s.payloads(t), before) || !slices.Equal(s.listDeadLetters(t), all) {
		t.Error("a dry run changed something")
	}
}

// wantReplayed replays twice, and returns the dead letters that stay.
func (s store) wantReplayed(t *testing.T, all []listed) (left []listed) {
	t.Helper()
	for _, says := range []string{
		"3 replayed: 6 records published, 4 stored before; 3 failed",
		"0 replayed: 0 records published, 0 stored before; 3 failed",
	} {
		if text := s.deadLetters(t, 1, "replay", "--all"); !strings.Contains(text, says) {
			t.Errorf("replay does not say %q:\n%s", says, text)
		}
		s.wantOnce(t, otherDevice, 0, 2, time.Now().UTC().Format("2006-"))
		s.wantOnce(t, otherDevice, 10, 11, time.Now().UTC().Format("2006-"))
		s.wantOnce(t, buriedDevice, 20, 23, "2026-03-01T08:30:00.250Z")
		s.wantOnce(t, buriedDevice, 30, 31, "2026-03-01T08:30:00.250Z")
		left = s.listDeadLetters(t)
		if len(left) != 3 || left[0] != all[0] || left[1] != all[1] || left[2].Reason != "timestamp" ||
			left[2].Received != all[4].Received {
			t.Fatalf("left are %+v", left)
		}
	}
	return left
}

func (s store) wantDeleted(t *testing.T, left []listed) {
	t.Helper()
	s.deadLetters(t, 2, "delete", "--all")
	s.deadLetters(t, 0, "delete", "--yes", left[0].Ref)
	text := s.deadLetters(t, 1, "delete", "--yes", left[0].Ref, left[1].Ref)
	if !strings.Contains(text, "no such dead letter") || !strings.Contains(text, "1 deleted") {
		t.Errorf("delete:\n%s", text)
	}
	s.deadLetters(t, 0, "delete", "--yes", "--all")
	if n := len(s.listDeadLetters(t)); n != 0 {
		t.Errorf("%d dead letters are left", n)
	}
	s.deadLetters(t, 0, "replay", "--all")
}

// TestDeadLettersOfSomeRefs replays what is named and nothing else.
func TestDeadLettersOfSomeRefs(t *testing.T) {
	forEachStore(t, func(t *testing.T, s store) {
		s.bury(t, "malformed", frameOf(t, 0, 1, false), frameOf(t, 1, 1, false), frameOf(t, 2, 1, false))
		all := s.listDeadLetters(t)
		s.deadLetters(t, 0, "replay", all[1].Ref)
		if left := s.listDeadLetters(t); len(left) != 2 || left[0] != all[0] || left[1] != all[2] {
			t.Errorf("left are %+v", left)
		}
		text := s.deadLetters(t, 1, "replay", all[1].Ref, all[0].Ref)
		if !strings.Contains(text, all[1].Ref+": there is no such dead letter") ||
			!strings.Contains(text, "1 replayed: 1 record published") {
			t.Errorf("replay:\n%s", text)
		}
		s.wantOnce(t, buriedDevice, 0, 1, "2026-03-01T08:30:00.250Z")
		if n := len(s.payloads(t)); n != 2 {
			t.Errorf("%d records are stored", n)
		}
	})
}

// TestDeadLettersOfCodec7 replays what older versions stored of devices whose codec they did not know.
func TestDeadLettersOfCodec7(t *testing.T) {
	forEachStore(t, func(t *testing.T, s store) {
		data := teltonika.AVLData{Codec: teltonika.Codec7}
		for i := range 3 {
			at := buriedAt.Truncate(time.Second).Add(time.Duration(i) * time.Second)
			data.Records = append(data.Records,
				teltonika.Record{Timestamp: uint64(at.UnixMilli()), Latitude: 54_5000000, Satellites: 9})
		}
		frame, err := data.AppendFrame(nil)
		if err != nil {
			t.Fatal(err)
		}
		s.bury(t, "unknown_codec", frame)
		if text := s.deadLetters(t, 0, "replay", "--all", "--reason=unknown_codec"); !strings.Contains(text,
			"3 records published") {
			t.Errorf("replay:\n%s", text)
		}
		stored := s.documents(t)
		if len(stored) != 3 || len(s.listDeadLetters(t)) != 0 {
			t.Errorf("%d records, %d dead letters", len(stored), len(s.listDeadLetters(t)))
		}
		for _, d := range stored {
			if d.Latitude != 54.5 || d.Codec != "7" || d.ReceivedAt != "2026-03-01T08:30:00.250Z" {
				t.Errorf("stored %+v", d)
			}
		}
	})
}

// TestDeadLettersReplayedAfterACrash has the records of a dead letter that was not removed: the embedded engine
// recognises them.
func TestDeadLettersReplayedAfterACrash(t *testing.T) {
	s := embeddedStore(t)
	frame := frameOf(t, 0, 5, false)
	for _, want := range []string{"5 records published, 0 stored before", "0 records published, 5 stored before"} {
		s.bury(t, "malformed", frame)
		if text := s.deadLetters(t, 0, "replay", "--all"); !strings.Contains(text, want) {
			t.Errorf("replay:\n%s", text)
		}
	}
	s.wantOnce(t, buriedDevice, 0, 4, "2026-03-01T08:30:00.250Z")
}

// TestDeadLettersOfFullRedis cannot store the records, so the dead letter has to stay.
func TestDeadLettersOfFullRedis(t *testing.T) {
	t.Parallel()
	s := redisStore(t, "--maxmemory-policy", "noeviction")
	s.bury(t, "malformed", frameOf(t, 0, 3, false))
	s.redis.Do("CONFIG", "SET", "maxmemory", 1)
	s.settings["PUBLISH_TIMEOUT"] = "300ms"
	if text := s.deadLetters(t, 1, "replay", "--all"); !strings.Contains(text, "not stored") {
		t.Errorf("replay:\n%s", text)
	}
	s.redis.Do("CONFIG", "SET", "maxmemory", 0)
	delete(s.settings, "PUBLISH_TIMEOUT")
	if n := len(s.listDeadLetters(t)); n != 1 {
		t.Fatalf("%d dead letters are left", n)
	}
	s.deadLetters(t, 0, "replay", "--all")
	s.wantOnce(t, buriedDevice, 0, 2, "2026-03-01T08:30:00.250Z")
	s.redis.Kill()
	s.settings["PUBLISH_TIMEOUT"] = "300ms"
	s.deadLetters(t, 1, "list")
	s.deadLetters(t, 1, "replay", "--all")
}

func TestDeadLettersUsage(t *testing.T) {
	s := embeddedStore(t)
	makeFiles(t, s.settings)
	for _, c := range []struct {
		args string
		code int
		says string
	}{
		{"", 2, "replay"},
		{"lits", 2, `unknown command "lits"`},
		{"list 1", 2, "no references"},
		{"list --limit=-1", 2, "negative"},
		{"list --jsn", 2, "--help"},
		{"list --reason foo", 2, `--reason "foo": use malformed or timestamp or too_large or unknown_codec`},
		{"replay --all --reason foo", 2, "unknown_codec"},
		{"delete --all --yes --reason foo", 2, "unknown_codec"},
		{"list --device 35-6", 2, "IMEI"},
		{"list --limit x", 2, `--limit "x": use a whole number`},
		{"show", 2, "which dead letters"},
		{"show 7", 1, "7: there is no such dead letter"},
		{"replay", 2, "either references or --all"},
		{"replay --all 7", 2, "either references or --all"},
		{"delete 7", 2, "--yes"},
		{"delete --yes", 2, "either references or --all"},
		{"list --publish-timeout=x", 78, "PUBLISH_TIMEOUT"},
		{"list", 0, ""},
		{"list --reason malformed --device 356307042441013", 0, ""},
		{"replay --help", 0, "--dry-run"},
	} {
		if text := s.deadLetters(t, c.code, strings.Fields(c.args)...); !strings.Contains(text, c.says) {
			t.Errorf("deadletters %s does not say %q:\n%s", c.args, c.says, text)
		}
	}
}
