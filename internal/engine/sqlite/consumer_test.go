package sqlite

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/sqlitefile"
)

// devices of the records here.
const consumed1, consumed2 = "356307042441013", "352093081452251"

func fill(t *testing.T, e *Engine, device string, first, count int) {
	t.Helper()
	if err := e.Store(t.Context(), 0, enginetest.NewBatch(device, first, count)); err != nil {
		t.Fatal(err)
	}
}

func consume(t *testing.T, e *Engine, n int) (c engine.Consumer, payloads [][]byte) {
	t.Helper()
	c, err := e.Consumer(t.Context(), "forward")
	if err == nil {
		payloads, err = c.Next(t.Context(), n, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, payloads
}

func commit(t *testing.T, c engine.Consumer) {
	t.Helper()
	if err := c.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestConsumerCountsWhatExpired removes records that the group has not read, as the retention does.
func TestConsumerCountsWhatExpired(t *testing.T) {
	e := start(t)
	fill(t, e, consumed1, 0, 20)
	c, _ := consume(t, e, 5)
	commit(t, c)
	db := connect(t, e.path)
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "DELETE FROM records WHERE seq <= 12"); err != nil {
		t.Fatal(err)
	}
	rest, err := c.Next(t.Context(), 100, 0)
	if err != nil || len(rest) != 8 {
		t.Fatalf("%d records and %v are read behind those that have gone, want 8", len(rest), err)
	}
	if g, err := c.Lag(t.Context()); err != nil || g.Expired != 7 || g.Unread != 8 || g.Lag != 0 {
		t.Errorf("the lag is %+v and %v, want 7 expired and 8 unread", g, err)
	}
}

// TestConsumerOfAnotherDatabase begins with the oldest record when the file was replaced, by a shorter or a longer one.
func TestConsumerOfAnotherDatabase(t *testing.T) {
	for name, count := range map[string]int{"shorter": 3, "longer": 15} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e := openEngine(t, filepath.Join(dir, FileName))
			fill(t, e, consumed1, 0, 10)
			c, _ := consume(t, e, 10)
			commit(t, c)
			_ = c.Close()
			if err := e.Close(); err != nil {
				t.Fatal(err)
			}
			for _, ending := range sqlitefile.SideFiles {
				_ = os.Remove(filepath.Join(dir, FileName+ending))
			}
			e = startIn(t, dir)
			fill(t, e, consumed2, 0, count)
			if _, got := consume(t, e, 100); len(got) != count || !strings.Contains(string(got[0]), consumed2) {
				t.Errorf("%d records are read of the new database, want %d", len(got), count)
			}
		})
	}
}

// TestConsumerOfDatabaseReplacedWhileOpen goes on with the oldest record of the new file.
func TestConsumerOfDatabaseReplacedWhileOpen(t *testing.T) {
	e := start(t)
	fill(t, e, consumed1, 0, 10)
	c, _ := consume(t, e, 10)
	for _, ending := range sqlitefile.SideFiles {
		if err := os.Remove(e.path + ending); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, e, consumed2, 0, 12)
	if got, err := c.Next(t.Context(), 100, time.Second); err != nil || len(got) != 12 {
		t.Errorf("%d records and %v are read of the new database, want 12", len(got), err)
	}
}

// TestConsumerOfDamagedPosition says which file to remove, and reads nothing meanwhile.
func TestConsumerOfDamagedPosition(t *testing.T) {
	e := start(t)
	fill(t, e, consumed1, 0, 1)
	c, _ := consume(t, e, 1)
	commit(t, c)
	_ = c.Close()
	path := filepath.Join(filepath.Dir(e.path), consumersDir, "forward", positionFile)
	if err := os.WriteFile(path, []byte(`{"seq":`), 0o640); err != nil {
		t.Fatal(err)
	}
	c, err := e.Consumer(context.Background(), "forward")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	got, err := c.Next(t.Context(), 1, 0)
	if len(got) > 0 || err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%d records are read and the error is %v, want one that names %s", len(got), err, path)
	}
}
