package sqlite

import (
	"path/filepath"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// TestInspect reports what SQLite really does, not what it was told.
func TestInspect(t *testing.T) {
	e := start(t)
	d, err := e.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(d.Engine, "sqlite 3.") {
		t.Errorf("the engine is called %q", d.Engine)
	}
	if onDisk := filesystem(filepath.Dir(e.path)) == ""; onDisk && d.Class != engine.Fsynced {
		t.Errorf("on a disk: %+v", d)
	}
	w, err := e.acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.db.exec("PRAGMA synchronous = NORMAL"); err != nil {
		t.Fatal(err)
	}
	e.turns.Give(w)
	if d, err = e.Inspect(t.Context()); err != nil || d.Class == engine.Fsynced {
		t.Errorf("without a sync at every commit: %+v, %v", d, err)
	}
}
