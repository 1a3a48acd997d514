package main

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// store is an engine behind a server, read by a client of its own.
type store struct {
	name     string
	settings map[string]string
	payloads func(t testing.TB) []string // in stored order
	messages func(t testing.TB) []string // IMEI and payload in hex, in stored order
	redis    *testkit.Redis              // nil if it is another engine
}

// redisStore starts a redis-server.
func redisStore(t testing.TB, args ...string) store {
	r := testkit.StartRedis(t, args...)
	return store{
		name:     "redis",
		settings: map[string]string{"REDIS_URL": r.URL(), "REDIS_STREAM_MAXLEN": "0"},
		payloads: func(t testing.TB) []string { return streamPayloads(t, r) },
		messages: func(t testing.TB) []string { return streamMessages(t, r) },
		redis:    r,
	}
}

func streamPayloads(t testing.TB, r *testkit.Redis) (payloads []string) {
	t.Helper()
	for _, e := range streamEntries(t, r, "telemetry:teltonika", "ts", "device_id", "codec", "payload") {
		payloads = append(payloads, e[3])
	}
	return payloads
}

func streamMessages(t testing.TB, r *testkit.Redis) (messages []string) {
	t.Helper()
	for _, e := range streamEntries(t, r, "telemetry:teltonika:messages", "ts", "device_id", "codec", "type", "sent",
		"payload") {
		messages = append(messages, e[1]+"-"+e[5])
	}
	return messages
}

// streamEntries returns the values of a stream's entries, and checks the fields' names, which other programs read by
// name and in order.
func streamEntries(t testing.TB, r *testkit.Redis, stream string, names ...string) (all [][]string) {
	t.Helper()
	for from := "-"; ; {
		entries := r.Do("XRANGE", stream, from, "+", "COUNT", 5000).([]any)
		for _, e := range entries {
			entry := e.([]any)
			from = "(" + entry[0].(string)
			fields := entry[1].([]any)
			if len(fields) != 2*len(names) {
				t.Fatalf("entry has %d fields: %v", len(fields)/2, fields)
			}
			var values []string
			for i, name := range names {
				if fields[2*i] != name {
					t.Fatalf("field %d is %v, want %s", i, fields[2*i], name)
				}
				values = append(values, fields[2*i+1].(string))
			}
			all = append(all, values)
		}
		if len(entries) == 0 {
			return all
		}
	}
}

// embeddedStore is the embedded engine in a directory of its own.
func embeddedStore(t testing.TB) store {
	dir := t.TempDir()
	return store{
		name:     "embedded",
		settings: map[string]string{"DATA_DIR": dir, "EMBEDDED_RETENTION": "0"},
		payloads: func(t testing.TB) []string { return tablePayloads(t, dir, "SELECT payload FROM records ORDER BY seq") },
		messages: func(t testing.TB) []string {
			return tablePayloads(t, dir, "SELECT device_id || '-' || payload FROM messages ORDER BY seq")
		},
	}
}

func tablePayloads(t testing.TB, dir, query string) []string {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "telemetry.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var payloads []string
	for rows.Next() {
		var p string
		if err := rows.Scan(&p); err != nil {
			t.Fatal(err)
		}
		payloads = append(payloads, p)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return payloads
}

// stored counts the stored records by id.
func (s store) stored(t testing.TB) map[string]int {
	t.Helper()
	ids := make(map[string]int)
	for _, p := range s.payloads(t) {
		var r struct{ ID string }
		if err := json.Unmarshal([]byte(p), &r); err != nil {
			t.Fatalf("payload %s: %v", p, err)
		}
		ids[r.ID]++
	}
	return ids
}

// wantAll fails for every acknowledged record that is not stored, and for every one stored twice unless copies
// are allowed.
func (s store) wantAll(t testing.TB, acknowledged []string, copiesAllowed bool) {
	t.Helper()
	stored := s.stored(t)
	missing, copies := 0, 0
	for _, id := range acknowledged {
		if stored[id] == 0 {
			missing++
		}
	}
	for _, n := range stored {
		copies += n - 1
	}
	t.Logf("%s: %d records acknowledged, %d stored, %d missing, %d copies", s.name, len(acknowledged), len(stored),
		missing, copies)
	if missing > 0 {
		t.Errorf("%d acknowledged records are missing", missing)
	}
	if copies > 0 && !copiesAllowed {
		t.Errorf("%d copies", copies)
	}
}

// wantMessages fails for every message that must be stored and is not, for every one stored twice, and for
// those of a device that are not in their order.
func (s store) wantMessages(t testing.TB, confirmed []string) {
	t.Helper()
	stored := s.messages(t)
	place := make(map[string]int)
	copies := 0
	for i, m := range stored {
		if _, ok := place[m]; ok {
			copies++
		}
		place[m] = i
	}
	missing, displaced, last := 0, 0, make(map[string]int)
	for _, m := range confirmed {
		imei, _, _ := strings.Cut(m, "-")
		at, ok := place[m]
		switch {
		case !ok:
			missing++
		case at < last[imei]:
			displaced++
		default:
			last[imei] = at
		}
	}
	t.Logf("%s: %d messages before an acknowledged frame, %d stored, %d missing, %d copies, %d out of order",
		s.name, len(confirmed), len(stored), missing, copies, displaced)
	if len(confirmed) == 0 || missing > 0 || copies > 0 || displaced > 0 {
		t.Errorf("%d messages confirmed, %d missing, %d copies, %d out of order", len(confirmed), missing, copies, displaced)
	}
}
