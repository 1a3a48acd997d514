package main

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// withoutMeaning are the members of a document but those that say what its elements mean.
func withoutMeaning(t *testing.T, document string) map[string]string {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal([]byte(document), &all); err != nil {
		t.Fatalf("%v: %s", err, document)
	}
	left := map[string]string{}
	for key, value := range all {
		if !slices.Contains([]string{"signals", "faults", "device", "dict"}, key) {
			left[key] = string(value)
		}
	}
	return left
}

func wantOnlyMeaningChanged(t *testing.T, before, after string) {
	t.Helper()
	was, is := withoutMeaning(t, before), withoutMeaning(t, after)
	if fmt.Sprint(was) != fmt.Sprint(is) {
		t.Fatalf("more than the meaning has changed:\n%s\n%s", before, after)
	}
}

// storedByAFleet stores records, with what was said of their meaning taken away again where that can be done.
func storedByAFleet(t *testing.T, store store) {
	t.Helper()
	s := startServer(t, store.settings)
	f := startFleet(t, s.devices, 5, nil)
	f.awaitProgress(t, 300)
	f.end(t)
	s.kill()
}

func TestRedecodeShows(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, store store) {
		storedByAFleet(t, store)
		before := store.payloads(t)
		code, out, errOut := execute(t, store.settings, "", "redecode")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if code != 0 || errOut != "" || len(lines) != len(before) {
			t.Fatalf("exit code %d, %d lines for %d records: %s", code, len(lines), len(before), errOut)
		}
		for i := range lines {
			wantOnlyMeaningChanged(t, before[i], lines[i])
			if !strings.Contains(lines[i], `"signals":{`) || !strings.Contains(lines[i], `"dict":"`) {
				t.Fatalf("nothing is said of %s", lines[i])
			}
		}
		if after := store.payloads(t); !slices.Equal(after, before) {
			t.Error("what is stored has changed")
		}
		if code, _, errOut := execute(t, store.settings, "", "redecode", "--write"); store.redis != nil &&
			(code != 78 || !strings.Contains(errOut, "have its records changed")) {
			t.Errorf("redecode --write: exit code %d: %s", code, errOut)
		}
		code, out, _ = execute(t, store.settings, "", "redecode", "--since", "2100-01-01T00:00:00Z")
		if code != 0 || out != "" {
			t.Errorf("of no time: exit code %d: %s", code, out)
		}
	})
}

// TestRedecodeWritesBesideTheService changes what is stored while a fleet goes on, of which nothing is lost.
func TestRedecodeWritesBesideTheService(t *testing.T) {
	t.Parallel()
	const filled = 600
	store := embeddedStore(t)
	fillStore(t, store, filled)
	s := startServer(t, store.settings)
	f := startFleet(t, s.devices, 20, moderate)
	f.awaitProgress(t, 100)
	code, out, errOut := execute(t, store.settings, "", "redecode", "--write")
	if code != 0 {
		t.Fatalf("exit code %d: %s%s", code, out, errOut)
	}
	f.end(t)
	s.wantBalance()
	said := 0
	for _, payload := range store.payloads(t) {
		if strings.Contains(payload, `"fill-`) && strings.Contains(payload, `"external.powersource.voltage":12.044`) {
			said++
		}
	}
	if said != filled {
		t.Errorf("%d of %d records say what they mean: %s", said, filled, out)
	}
}

// fillStore stores records without a meaning, each of a device of its own.
func fillStore(t *testing.T, store store, count int) {
	t.Helper()
	makeFiles(t, store.settings)
	_, err := openStore(t, store.settings["DATA_DIR"]).ExecContext(t.Context(),
		`INSERT INTO records (id, device_id, ts, codec, payload) WITH RECURSIVE n(i) AS
			(SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
			SELECT 'fill-' || i, i, i, '8', '{"device_id":"' || i || '","timestamp":"2026-11-22T11:00:00.000Z",' ||
				'"attributes":{"66":12044},"codec":"8","id":"fill-' || i || '"}' FROM n`, count)
	if err != nil {
		t.Fatal(err)
	}
}

// countSaid is how many records say what they mean.
func countSaid(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM signals").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestRedecodeKilled leaves each record as it was or as it is to be, and goes on when it is run again.
func TestRedecodeKilled(t *testing.T) {
	t.Parallel()
	store := embeddedStore(t)
	const all = 3_000
	fillStore(t, store, all)
	db := openStore(t, store.settings["DATA_DIR"])
	cmd := program(t, store.settings, "redecode", "--write")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.EventuallyIn(t, "some records are changed", patience, func() bool { return countSaid(t, db) > 0 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if n := countSaid(t, db); n == 0 || n >= all || n%redecodeBatch != 0 {
		t.Errorf("%d of %d records are changed, in transactions of %d", n, all, redecodeBatch)
	}
	for _, changed := range []bool{true, false} {
		code, out, errOut := execute(t, store.settings, "", "redecode", "--write")
		if code != 0 || strings.Contains(out, " 0 changed") == changed {
			t.Errorf("again: exit code %d: %s%s", code, out, errOut)
		}
	}
	if n := countSaid(t, db); n != all {
		t.Errorf("%d of %d records say what they mean", n, all)
	}
	var sound string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
		t.Errorf("the file is not sound: %s, %v", sound, err)
	}
}

// TestRedecodeStopped says that it was, and not that something failed.
func TestRedecodeStopped(t *testing.T) {
	t.Parallel()
	store := embeddedStore(t)
	fillStore(t, store, 3_000)
	db := openStore(t, store.settings["DATA_DIR"])
	cmd := program(t, store.settings, "redecode", "--write")
	told := testkit.NewLog(t)
	cmd.Stderr = told
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testkit.EventuallyIn(t, "some records are changed", patience, func() bool { return countSaid(t, db) > 0 })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	const says = "tcp-ingestion: stopped before the last record: run it again\n"
	if code := cmd.ProcessState.ExitCode(); code != exitFailure || told.String() != says {
		t.Errorf("exit code %d: %s", code, told)
	}
}

// TestRedecodeOfWhatIsNoRecord leaves it, says so, and does the rest.
func TestRedecodeOfWhatIsNoRecord(t *testing.T) {
	t.Parallel()
	store := embeddedStore(t)
	fillStore(t, store, 10)
	db := openStore(t, store.settings["DATA_DIR"])
	if _, err := db.ExecContext(t.Context(), "UPDATE records SET payload = 'nonsense' WHERE seq = 5"); err != nil {
		t.Fatal(err)
	}
	code, out, errOut := execute(t, store.settings, "", "redecode", "--write")
	if code != 1 || out != "10 records: 9 changed, 1 no records\n" || !strings.Contains(errOut, "5 is left as it is") {
		t.Errorf("exit code %d: %s%s", code, out, errOut)
	}
	if n := countSaid(t, db); n != 9 {
		t.Errorf("%d of 9 records are changed", n)
	}
}
