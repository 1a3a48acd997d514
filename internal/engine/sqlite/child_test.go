package sqlite

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
)

const (
	childDir    = "TEST_SQLITE_CHILD_DIR" // makes the test binary a process that only stores
	childDevice = "356307042441013"
	childBatch  = 20

	childDeadBytes = 4096 // of dead letters, one in each batch

	// childLockWait is how long two processes that store without a pause wait for each other. SQLite gives its lock to
	// whoever asks first when it is free, so one may be unlucky often.
	childLockWait = time.Minute
)

// runAsChild stores batches of records and a dead letter until it is killed, and prints the number of each confirmed
// one.
func runAsChild() {
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	e, err := New(Options{Dir: dir, DeadLetterMaxBytes: childDeadBytes})
	if err != nil {
		fail(err)
	}
	e.lockWait = childLockWait
	for i := 0; ; i++ {
		b := enginetest.NewBatch(childDevice, i*childBatch, childBatch)
		b.DeadLetters = []engine.DeadLetter{enginetest.NewDeadLetter(childDevice, i)}
		if err := e.Store(context.Background(), 0, enginetest.Sized(b)); err != nil {
			fail(err)
		}
		fmt.Println(i)
	}
}

// startChild returns a running child and the numbers that it confirms.
func startChild(t *testing.T, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait()
	})
	return child, bufio.NewScanner(out)
}

// TestKilledProcess kills a process that stores, several times. Every batch that it confirmed is
// there, whole and once, and the next process recognises it.
func TestKilledProcess(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, FileName)
	for round := range 3 {
		child, confirmed := startChild(t, dir)
		last := -1
		for confirmed.Scan() {
			number, err := strconv.Atoi(confirmed.Text())
			if err != nil {
				t.Fatal(err)
			}
			last = number
			if last == 20*(round+1) {
				if err := child.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if last < 20*(round+1) {
			t.Fatalf("the child ended after batch %d", last)
		}
		stored := readRecords(t, path)
		if len(stored) < (last+1)*childBatch || len(stored)%childBatch != 0 {
			t.Fatalf("%d records are stored, %d were confirmed in batches of %d", len(stored), (last+1)*childBatch, childBatch)
		}
		for n, r := range stored {
			if want := enginetest.NewRecord(childDevice, n).Payload; r.Payload != string(want) {
				t.Fatalf("record %d is\n%s, want\n%s", n, r.Payload, want)
			}
		}
	}
}

// TestTwoProcesses stores in this process while another one stores into the same file.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	e := startIn(t, dir)
	e.lockWait = childLockWait
	child, confirmed := startChild(t, dir)
	const device, batches = "352093081452251", 40
	for i := range batches {
		if !confirmed.Scan() {
			t.Fatal("the child ended")
		}
		b := enginetest.NewBatch(device, i*childBatch, childBatch)
		storeAll(t, e, b)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for confirmed.Scan() {
	}
	_ = child.Wait()

	counts := map[string]int{}
	for _, r := range readRecords(t, filepath.Join(dir, FileName)) {
		if want := enginetest.NewRecord(r.DeviceID, counts[r.DeviceID]).Payload; r.Payload != string(want) {
			t.Fatalf("record %d of %s is\n%s, want\n%s", counts[r.DeviceID], r.DeviceID, r.Payload, want)
		}
		counts[r.DeviceID]++
	}
	if counts[device] != batches*childBatch || counts[childDevice] < batches*childBatch {
		t.Errorf("stored are %d records of this process and %d of the other, want %d and at least as many",
			counts[device], counts[childDevice], batches*childBatch)
	}
}
