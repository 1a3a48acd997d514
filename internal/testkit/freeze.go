//go:build linux

package testkit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Freeze stops a process: its sockets stay open and nothing answers until it gets SIGCONT.
func Freeze(tb testing.TB, pid int) {
	tb.Helper()
	if err := freeze(pid); err != nil {
		tb.Fatalf("freeze process %d: %v", pid, err)
	}
}

// freeze waits until none of the threads runs any more: one that does may read and answer what comes behind the signal.
func freeze(pid int) error {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return err
	}
	for end := time.Now().Add(Timeout); !stopped(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("it runs on")
		}
	}
	return nil
}

func stopped(pid int) bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	return err == nil && !slices.ContainsFunc(threads, func(path string) bool {
		stat, err := os.ReadFile(path)
		_, state, _ := strings.Cut(string(stat), ") ")
		return err == nil && !strings.HasPrefix(state, "T")
	})
}
