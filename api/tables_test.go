package api_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // its driver

	"git.dev.trmtracking.org/trm/tcp-ingestion/api/apitest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/postgres"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/sqlite"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// columns are those that the document names of a table.
func (c *channel) columns(t *testing.T) []string {
	t.Helper()
	to := c.object["messages"].(map[string]any)[c.kind].(map[string]any)["$ref"].(string)
	ref := apitest.Strict().At("asyncapi.json" + to + "/payload/schema/$ref").(string)
	return slices.Sorted(maps.Keys(apitest.Strict().At(ref + "/properties").(map[string]any)))
}

// TestTablesAreAsDocumented reads the embedded engine's file as any client does.
func TestTablesAreAsDocumented(t *testing.T) {
	dir := t.TempDir()
	e, err := sqlite.New(sqlite.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	store(t, e)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, sqlite.FileName)+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, c := range channels(t, "sqlite") {
		c.check(t, rows(t, db, "SELECT "+strings.Join(c.columns(t), ", ")+" FROM "+c.address(t)))
		var names []string
		for _, row := range rows(t, db, "SELECT name FROM pragma_table_xinfo('"+c.address(t)+"')") {
			names = append(names, row["payload/schema"].(map[string]any)["name"].(string))
		}
		c.checkColumns(t, names)
	}
}

// checkColumns fails the test if a table has columns that neither are in the document nor the engine's own.
func (c *channel) checkColumns(t *testing.T, names []string) {
	t.Helper()
	own := []string{"known", "item", "bytes"}
	if len(names) < len(c.columns(t)) {
		t.Errorf("%s: columns %q", c.name, names)
	}
	for _, name := range names {
		if !slices.Contains(own, name) && !slices.Contains(c.columns(t), name) {
			t.Errorf("%s: column %s is not in the document", c.name, name)
		}
	}
}

// TestPostgresIsAsDocumented asks the server by its own client.
func TestPostgresIsAsDocumented(t *testing.T) {
	server := testkit.StartPostgres(t)
	e, err := postgres.New(postgres.Options{URL: server.URL(), Durability: postgres.Commit,
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	store(t, e)
	for _, c := range channels(t, "postgres") {
		var found []map[string]any
		question := fmt.Sprintf("SELECT row_to_json(r) FROM (SELECT %s FROM %s) AS r",
			strings.Join(c.columns(t), ", "), c.address(t))
		for row := range strings.SplitSeq(server.SQL(question), "\n") {
			found = append(found, map[string]any{"payload/schema": json.RawMessage(row)})
		}
		c.check(t, found)
		c.checkColumns(t, strings.Split(server.SQL(
			"SELECT column_name FROM information_schema.columns WHERE table_name = '"+c.address(t)+"'"), "\n"))
	}
}

// rows are what a question finds, each as one object.
func rows(t *testing.T, db *sql.DB, question string) (found []map[string]any) {
	t.Helper()
	answer, err := db.Query(question)
	if err != nil {
		t.Fatalf("%s: %v", question, err)
	}
	defer answer.Close()
	names, err := answer.Columns()
	if err != nil {
		t.Fatal(err)
	}
	for answer.Next() {
		values, into := make([]any, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		if err := answer.Scan(into...); err != nil {
			t.Fatal(err)
		}
		row := map[string]any{}
		for i, name := range names {
			row[name] = values[i]
		}
		found = append(found, map[string]any{"payload/schema": row})
	}
	if err := answer.Err(); err != nil {
		t.Fatal(err)
	}
	return found
}
