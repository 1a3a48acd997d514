package main

import (
	"database/sql"
	"encoding/json"
	"path/filepath"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// store is an engine behind a server, read by a client of its own.
type store struct {
	name     string
	settings map[string]string
	payloads func(t testing.TB) []string // in stored order
	redis    *testkit.Redis              // nil if it is another engine
}

// redisStore starts a redis-server.
func redisStore(t testing.TB, args ...string) store {
	r := testkit.StartRedis(t, args...)
	return store{
		name:     "redis",
		settings: map[string]string{"REDIS_URL": r.URL(), "REDIS_STREAM_MAXLEN": "0"},
		payloads: func(t testing.TB) []string { return streamPayloads(t, r) },
		redis:    r,
	}
}

func streamPayloads(t testing.TB, r *testkit.Redis) []string {
	t.Helper()
	var payloads []string
	for from := "-"; ; {
		entries := r.Do("XRANGE", "telemetry:teltonika", from, "+", "COUNT", 5000).([]any)
		for _, e := range entries {
			entry := e.([]any)
			from = "(" + entry[0].(string)
			payloads = append(payloads, streamPayload(t, entry[1].([]any)))
		}
		if len(entries) == 0 {
			return payloads
		}
	}
}

// streamPayload checks an entry's fields, which other programs read by name and in order.
func streamPayload(t testing.TB, fields []any) string {
	t.Helper()
	names := []string{"ts", "device_id", "codec", "payload"}
	if len(fields) != 2*len(names) {
		t.Fatalf("entry has %d fields: %v", len(fields)/2, fields)
	}
	for i, name := range names {
		if fields[2*i] != name {
			t.Fatalf("field %d is %v, want %s", i, fields[2*i], name)
		}
	}
	return fields[7].(string)
}

// embeddedStore is the embedded engine in a directory of its own.
func embeddedStore(t testing.TB) store {
	dir := t.TempDir()
	return store{
		name:     "embedded",
		settings: map[string]string{"DATA_DIR": dir, "EMBEDDED_RETENTION": "0"},
		payloads: func(t testing.TB) []string { return tablePayloads(t, dir) },
	}
}

func tablePayloads(t testing.TB, dir string) []string {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "telemetry.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT payload FROM records ORDER BY seq")
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
	t.Logf("%s: %d records acknowledged, %d stored, %d missing, %d copies", s.name, len(acknowledged), len(stored), missing, copies)
	if missing > 0 {
		t.Errorf("%d acknowledged records are missing", missing)
	}
	if copies > 0 && !copiesAllowed {
		t.Errorf("%d copies", copies)
	}
}
