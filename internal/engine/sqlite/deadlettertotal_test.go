package sqlite

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

// bury stores dead letters of the device with frames of this size, in one batch.
func bury(t testing.TB, e *Engine, device string, count, size int) {
	t.Helper()
	b := &engine.Batch{}
	for range count {
		b.DeadLetters = append(b.DeadLetters, engine.DeadLetter{
			DeviceID: device, Codec: "8", Reason: "malformed", Received: time.Now(), Frame: bytes.Repeat([]byte{0xee}, size),
			Transport: "tcp",
		})
	}
	storeAll(t, e, enginetest.Sized(b))
}

// wantTotal compares what the engine counts with what there is.
func wantTotal(t *testing.T, e *Engine) {
	t.Helper()
	status, err := e.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if want := query[int64](t, e.path,
		"SELECT coalesce(sum(length(frame) + 128), 0) FROM dead_letters")[0]; status.DeadLetterBytes != want {
		t.Errorf("dead letters take %d bytes, and are counted as %d", want, status.DeadLetterBytes)
	}
}

// wantBuried says how many dead letters of each device there are.
func wantBuried(t *testing.T, e *Engine, want string) {
	t.Helper()
	got := query[string](
		t,
		e.path,
		"SELECT device_id || ' ' || count(*) FROM dead_letters GROUP BY device_id ORDER BY device_id",
	)
	if is := strings.Join(got, ", "); is != want {
		t.Errorf("there are dead letters of %q, want %q", is, want)
	}
}

// TestDeadLettersAreBoundedAtTheWrite has strangers bury far more than there is room for. What they have buried goes
// first, and what devices have that have records here only when nothing else is left.
func TestDeadLettersAreBoundedAtTheWrite(t *testing.T) {
	e := start(t)
	const most = 10 * (2*1000 + rowOverhead)
	log := limit(e, most)
	storeAll(t, e, enginetest.NewBatch(device, 0, 1))
	bury(t, e, device+"1", 2, 1000) // its name begins with a known one's
	bury(t, e, device, 6, 1000)
	wantBuried(t, e, device+" 6, "+device+"1 2")
	for i := range 20 {
		bury(t, e, fmt.Sprint("stranger", i), 1, 1000)
	}
	wantBuried(t, e, device+" 6, stranger16 1, stranger17 1, stranger18 1, stranger19 1")
	bury(t, e, device, 7, 1000)
	wantBuried(t, e, device+" 10")
	if first := query[int64](t, e.path, "SELECT min(seq) FROM dead_letters")[0]; first != 6 {
		t.Errorf("the first one left is %d, want 6: the oldest go first", first)
	}
	bury(t, e, "stranger", 300, 1000)
	wantBuried(t, e, device+" 9, stranger 1")
	bury(t, e, "giant", 1, 50_000)
	wantBuried(t, e, "giant 1")
	wantTotal(t, e)
	if status, err := e.Probe(t.Context()); err != nil || status.DeadLetterLimit != most {
		t.Errorf("the probe shows %+v, %v", status, err)
	}
	if n := strings.Count(log.String(), "oldest dead letters removed"); n != 1 {
		t.Errorf("there are %d warnings:\n%s", n, log)
	}
}

// TestTotalOfDeadLetters is right after whatever adds and removes them.
func TestTotalOfDeadLetters(t *testing.T) {
	e := start(t)
	up := runs(e)
	e.retention = time.Hour
	wantTotal(t, e)
	bury(t, e, device, 9, 500)
	wantTotal(t, e)
	if err := e.RemoveDeadLetters(t.Context(), []string{"2", "9", "77"}); err != nil {
		t.Fatal(err)
	}
	wantTotal(t, e)
	db := connect(t, e.path)
	defer db.Close()
	for _, sql := range []string{
		"DELETE FROM dead_letters WHERE seq = 3", "UPDATE dead_letters SET frame = 'ab' WHERE seq = 4",
		"INSERT INTO dead_letters (ts, device_id) VALUES ('no', 'dead letter')",
		"UPDATE dead_letters SET frame = NULL WHERE seq = 5",
		"UPDATE dead_letters SET reason = 'other'",
	} {
		if _, err := db.ExecContext(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		if n := query[int64](t, e.path, "SELECT count(*) FROM dead_letters WHERE frame IS NULL")[0]; n == 0 {
			wantTotal(t, e)
		}
	}
	maintain(t, e)
	up(time.Hour)
	maintain(t, e) // removes all but the newest
	if _, err := db.ExecContext(t.Context(), "DELETE FROM dead_letters"); err != nil {
		t.Fatal(err)
	}
	wantTotal(t, e)
	bury(t, e, device, 1, 500)
	wantTotal(t, e)
	if seq := query[int64](t, e.path, "SELECT seq FROM dead_letters")[0]; seq != 10 && seq != 11 {
		t.Errorf("the next one has the seq %d, which is another one's", seq)
	}
}

// TestTotalAfterKill counts what a killed process has left, which removed one for each that it stored.
func TestTotalAfterKill(t *testing.T) {
	dir := t.TempDir()
	child, confirmed := startChild(t, dir)
	for range 60 {
		confirmed.Scan()
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	e := startIn(t, dir)
	wantTotal(t, e)
	status, err := e.Probe(t.Context())
	if err != nil || status.DeadLetterBytes < childDeadBytes/2 || status.DeadLetterBytes > childDeadBytes {
		t.Errorf("%d bytes of dead letters are left, want nearly %d: %v", status.DeadLetterBytes, childDeadBytes, err)
	}
}

// TestFloodOfAKnownDeviceRemovesItsOwn has a stranger store a record, so that he is known, and then bury what he can.
// What another device has buried stays.
func TestFloodOfAKnownDeviceRemovesItsOwn(t *testing.T) {
	e := start(t)
	limit(e, 10*(2*1000+rowOverhead))
	storeAll(t, e, enginetest.NewBatch(device, 0, 1))
	storeAll(t, e, enginetest.NewBatch("stranger", 0, 1))
	bury(t, e, device, 3, 1000)
	for range 20 {
		bury(t, e, "stranger", 2, 1000)
	}
	wantBuried(t, e, device+" 3, stranger 7")
	wantTotal(t, e)
}

// limit sets what all dead letters may take, and where it is logged that they are removed.
func limit(e *Engine, most int64) (log *bytes.Buffer) {
	log = new(bytes.Buffer)
	w, _ := e.turns.Take(context.Background())
	w.dead.limit, w.log = most, slog.New(slog.NewTextHandler(log, nil))
	e.turns.Give(w)
	return log
}

// TestRemovedDeadLetterIsNotRemembered: whoever remembers that a dead letter is stored has to hear when the engine
// itself removes it, for a new one, by the retention or when it was replayed, or its resend is acknowledged and not
// there.
func TestRemovedDeadLetterIsNotRemembered(t *testing.T) {
	for name, remove := range map[string]func(t *testing.T, e *Engine){
		"for a new one": func(t *testing.T, e *Engine) { bury(t, e, "stranger", 12, 1000) },
		"by the retention": func(t *testing.T, e *Engine) {
			up := runs(e)
			e.retention = time.Hour
			bury(t, e, device, 2, 10)
			maintain(t, e)
			up(time.Hour)
			maintain(t, e)
		},
		"when it was replayed": func(t *testing.T, e *Engine) {
			if err := e.RemoveDeadLetters(t.Context(), []string{"1"}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t)
			limit(e, 10*(2*1000+rowOverhead))
			bury(t, e, device, 3, 1000)
			before := epochOfDead(t, e)
			if now := epochOfDead(t, e); now != before {
				t.Fatalf("epoch %d after %d, although nothing is removed", now, before)
			}
			remove(t, e)
			if now := epochOfDead(t, e); now == before {
				t.Errorf("the epoch is still %d", now)
			}
		})
	}
}

// TestDeadLetterRemovedByItsOwnBatchIsNotRemembered has a batch with more dead letters than there is room for.
func TestDeadLetterRemovedByItsOwnBatchIsNotRemembered(t *testing.T) {
	e := start(t)
	limit(e, 1000)
	b := &engine.Batch{
		DeadLetters: []engine.DeadLetter{enginetest.NewDeadLetter(device, 1), enginetest.NewDeadLetter(device, 2)},
	}
	b.DeadLetters[1].Frame = make([]byte, 400)
	storeAll(t, e, enginetest.Sized(b))
	wantBuried(t, e, device+" 1")
	if now := epochOfDead(t, e); now == b.Epochs[engine.KindDeadLetter] {
		t.Errorf("the epoch is still %d", now)
	}
}

// epochOfDead asks for the epoch of dead letters.
func epochOfDead(t *testing.T, e *Engine) uint64 {
	t.Helper()
	b := &engine.Batch{Known: [engine.Kinds]bool{engine.KindDeadLetter: true}}
	if err := e.Store(t.Context(), 0, b); err != nil {
		t.Fatal(err)
	}
	return b.Epochs[engine.KindDeadLetter]
}
