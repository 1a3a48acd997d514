package sqlitestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const deviceA = "356307042441013"

func newCommand(id string) command.Command {
	c := command.Command{ID: id, IMEI: deviceA, Payload: []byte("getinfo")}
	c.Complete(time.Now())
	return c
}

func submit(t testing.TB, s command.Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if _, created, err := s.Submit(t.Context(), newCommand(id)); err != nil || !created {
			t.Fatalf("submit %s: created = %v, %v", id, created, err)
		}
	}
}

// wantFailure submits a command, which must fail and say what an operator should do.
func wantFailure(t *testing.T, s *Store, text string) {
	t.Helper()
	_, created, err := s.Submit(t.Context(), newCommand("refused"))
	if err == nil || created || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), s.path) {
		t.Fatalf("submit: created = %v, and the failure does not say %q: %v", created, text, err)
	}
}

// wantKnown makes sure that these commands are kept, and no others.
func wantKnown(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	each(t, dir, "SELECT id FROM commands ORDER BY seq", func(scan func(into ...any)) {
		var id string
		scan(&id)
		got = append(got, id)
	})
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("kept are %v, want %v", got, want)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{Instance: "a"}, {Dir: "x"}, {Dir: "x", Instance: "a", Retention: -1}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// TestNewFiles looks at what is made, and for whom.
func TestNewFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	submit(t, start(t, dir), "first")
	for name, want := range map[string]os.FileMode{"": os.ModeDir | 0o750, FileName: 0o600, FileName + "-wal": 0o600,
		FileName + "-shm": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%q is %v, %v, want %v", name, info, err, want)
		}
	}
	var mode string
	each(t, dir, "PRAGMA journal_mode", func(scan func(into ...any)) { scan(&mode) })
	if mode != "wal" {
		t.Errorf("the journal mode is %q", mode)
	}
}

// TestSynchronous asks the store's own connection, because the setting is not kept in the file.
func TestSynchronous(t *testing.T) {
	s := start(t, t.TempDir())
	level, err := transact(t.Context(), s, func(tx *transaction) (level int, err error) {
		return level, tx.QueryRow("PRAGMA synchronous").Scan(&level)
	})
	if err != nil || level != 2 {
		t.Errorf("synchronous is %d, %v, want 2 (FULL)", level, err)
	}
}

// TestDirectoryInTheWay has a file where the data directory should be, while the store runs.
func TestDirectoryInTheWay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log testkit.Log
	n := &running{Store: openStore(t, dir, "a")}
	n.log = slog.New(slog.NewTextHandler(&log, nil))
	n.runUntilEnd(t)
	wantFailure(t, n.Store, "not a directory")
	testkit.Eventually(t, "command database cannot be used, trying again", func() bool {
		return log.Has("command database cannot be used, trying again")
	})
	for range 3 { // the third one is taken after two rounds in which there was nothing to hand out
		n.devices.wake <- struct{}{}
	}
	n.Connected(command.Connection{IMEI: deviceA, Number: 1})
	if strings.Contains(log.String(), "can be used again") {
		t.Errorf("while it cannot:\n%s", log.String())
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	submit(t, n, "first")
	n.wantTaken(t, "first", 0)
	testkit.Eventually(t, "command database can be used again", func() bool {
		return log.Has("command database can be used again")
	})
	if failures := strings.Count(log.String(), "cannot be used"); failures != 1 {
		t.Errorf("the failure is logged %d times", failures)
	}
}

// TestFullDisk fills the disk of a store and frees it again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Fatalf("mount tmpfs (the tests need root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	n := startRunning(t, dir)
	submit(t, n, "first")
	if lease, err := n.Begin(t.Context(), "first", command.Timeouts{}); err != nil || !lease.Granted {
		t.Fatalf("begin: %v, %+v", err, lease)
	}
	ballast := fill(t, dir)
	kept := []string{"first"}
	// until the pages that the log has left are used up
	testkit.Succeeds(t, "what the store does in its own time", testkit.Timeout, func() error {
		id := fmt.Sprint("filler-", len(kept))
		c := newCommand(id)
		c.Payload = bytes.Repeat([]byte{'x'}, command.MaxPayload)
		if _, _, err := n.Submit(t.Context(), c); err != nil {
			return nil
		}
		kept = append(kept, id)
		return errors.New("the disk is not full yet")
	})
	_, _, err := n.Settle(t.Context(), answer(deviceA), command.Timeouts{})
	if err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("settle on a full disk: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if match, e, err := n.Settle(t.Context(), answer(deviceA), command.Timeouts{}); err != nil ||
		match != command.MatchAnswer || e.ID != "first" {
		t.Errorf("settle after the cure: %v, %v of %q", err, match, e.ID)
	}
	submit(t, n, "last")
	wantKnown(t, dir, append(kept, "last")...)
}

func fill(t *testing.T, dir string) (ballast string) {
	t.Helper()
	ballast = filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return ballast
}

// TestCorruptFile opens a file that is not a database. To move it away is the cure.
func TestCorruptFile(t *testing.T) {
	dir := t.TempDir()
	garbage := bytes.Repeat([]byte("garbage "), 1024)
	if err := os.WriteFile(filepath.Join(dir, FileName), garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	wantFailure(t, s, "damaged")
	wantFailure(t, s, "damaged")
	if err := os.Remove(s.path); err != nil {
		t.Fatal(err)
	}
	submit(t, s, "first")
}

// TestDamagedPages opens a file whose first page is as it should be, and the others are not.
func TestDamagedPages(t *testing.T) {
	dir := t.TempDir()
	first := openStore(t, dir, "a")
	for i := range 100 {
		submit(t, first, fmt.Sprint("command-", i))
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	// By another process: closing the file would drop this one's own locks on it.
	dd := exec.Command("dd", "of="+first.path, "bs=4096", "seek=1", "count=40", "conv=notrunc", "status=none")
	dd.Stdin = bytes.NewReader(bytes.Repeat([]byte("garbage "), 40*512))
	if out, err := dd.CombinedOutput(); err != nil {
		t.Fatalf("dd: %v: %s", err, out)
	}
	n := startRunning(t, dir)
	n.Connected(command.Connection{IMEI: deviceA, Number: 1})
	wantFailure(t, n.Store, "damaged")
}

// TestNewerSchema refuses a file that this program does not understand.
func TestNewerSchema(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, "a")
	submit(t, s, "first")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, dir).Exec(fmt.Sprint("PRAGMA user_version = ", len(steps)+1)); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, start(t, dir), "made by a newer version of this program")
}

// TestLock has another client in the middle of a transaction.
func TestLock(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	submit(t, s, "first")
	other, err := connect(t, dir).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, err := other.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, _, err := s.Submit(ctx, newCommand("second")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("submit while the file is locked: %v", err)
	}
	if _, err := s.Lookup(ctx, "first"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("lookup after its context ended: %v", err)
	}
	if took := time.Since(begin); took > 10*time.Second {
		t.Errorf("the calls returned after %v", took)
	}
	if _, err := other.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Submit(t.Context(), newCommand("second")); err != nil { // perhaps it has been submitted
		t.Fatal(err)
	}
	wantKnown(t, dir, "first", "second")
}

// runUntilEnd runs the store, and closes it when the test ends.
func (n *running) runUntilEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.Run(ctx, n)
	}()
	n.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		if err := n.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Cleanup(n.stop)
}
