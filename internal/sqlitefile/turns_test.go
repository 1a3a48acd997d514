package sqlitefile

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A disk that hangs holds up its work alone: callers get their answer in time, and the connection comes back with the
// disk.
func TestWorkThatHangsIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connection, disk := new(int), make(chan struct{})
		turns := NewTurns("/data/x.db", connection)
		hang := func(*int) (string, error) { <-disk; return "written", nil }
		use := func() (string, error) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			c, err := turns.Take(ctx)
			if err != nil {
				return "", err
			}
			return Use(ctx, turns, c, hang)
		}
		start := time.Now()
		if _, err := use(); !errors.Is(err, ErrNoAnswer) || !errors.Is(err, context.DeadlineExceeded) ||
			time.Since(start) > 2*time.Second {
			t.Errorf("the work that hangs: %v, after %v", err, time.Since(start))
		}
		if _, err := use(); err == nil || errors.Is(err, ErrNoAnswer) ||
			!strings.Contains(err.Error(), "/data/x.db: an earlier write is still running") {
			t.Errorf("the work after it: %v", err)
		}
		if err := turns.Close(func(*int) error { return nil }); err == nil {
			t.Error("it is closed while it is in use")
		}
		close(disk)
		if value, err := use(); err != nil || value != "written" {
			t.Errorf("after the disk goes on: %q, %v", value, err)
		}
		broken := errors.New("broken")
		if err := turns.Close(func(c *int) error {
			if c != connection {
				t.Error("another connection is closed")
			}
			return broken
		}); err != broken {
			t.Errorf("close: %v", err)
		}
	})
}

// Work that ends just after its context has its own answer, not a doubt.
func TestWorkHasTheLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := NewTurns("x.db", 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c, _ := turns.Take(ctx)
		value, err := Use(ctx, turns, c, func(int) (int, error) { time.Sleep(time.Second + lastWord/2); return 7, nil })
		if value != 7 || err != nil {
			t.Errorf("%d, %v", value, err)
		}
		if err := turns.Close(func(int) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}
