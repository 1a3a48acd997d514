package postgres

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestPage runs the SQL of docs/engines/postgres.md: the roles as the database's owner, the queries as one of those who
// may only read. The service's role has no right beyond those of the page.
func TestPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/engines/postgres.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) < 5 || !strings.Contains(blocks[0], "CREATE ROLE") {
		t.Fatalf("the page has %d blocks of SQL", len(blocks))
	}
	p := testkit.StartPostgres(t, "fsync=off")
	p.SQL("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
	p.SQL(blocks[0])
	p.SQL("CREATE ROLE reader LOGIN; GRANT telemetry_reader TO reader; ALTER ROLE reader SET search_path = telemetry")
	as := func(role string) string { return strings.Replace(p.URL(), "//postgres@", "//"+role+"@", 1) }

	e := openAt(t, as("ingestion"))
	b := enginetest.NewBatch("356307042441013", 0, 10)
	b.DeadLetters = append(b.DeadLetters, enginetest.NewDeadLetter("356307042441013", 0))
	b.Messages = append(b.Messages, enginetest.NewMessage("356307042441013", 0))
	if err := e.Store(t.Context(), e.Lane("356307042441013"), enginetest.Sized(b)); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Probe(t.Context()); err != nil {
		t.Errorf("the service's role cannot probe: %v", err)
	}
	if _, err := e.Inspect(t.Context()); err != nil {
		t.Errorf("the service's role cannot inspect: %v", err)
	}
	for _, query := range blocks[1:] {
		rows, err := p.TrySQL(as("reader"), query)
		if err != nil {
			t.Errorf("%v\n%s", err, query)
		}
		// The others ask for the time before now, of which there are no records.
		if rows == "" && !strings.Contains(query, "now()") {
			t.Errorf("nothing found:\n%s", query)
		}
	}
	for _, forbidden := range []string{
		"DELETE FROM records", "INSERT INTO messages (ts, device_id, codec, type, payload) VALUES (0, '1', '12', 1, '')",
		"TRUNCATE dead_letters", "UPDATE ingestion_state SET version = 0",
	} {
		if _, err := p.TrySQL(as("reader"), forbidden); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("a reader may %s: %v", forbidden, err)
		}
	}
}
