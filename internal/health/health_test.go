package health

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errFirst, errSecond = errors.New("first"), errors.New("second")

func TestHealthTellsTheBeginningAndTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Health
		if h.Worked() != nil || h.Failure() != nil {
			t.Fatal("it has failed without a failure")
		}
		start := time.Now()
		if _, due := h.Failed(errFirst); !due {
			t.Error("the first failure is not due")
		}
		time.Sleep(time.Hour)
		f, due := h.Failed(errSecond)
		if due || f.Err != errSecond || f.Count != 2 || !f.Since.Equal(start) || !f.Last.Equal(time.Now()) ||
			f != h.Failure() {
			t.Errorf("the second failure: %+v, due = %v", f, due)
		}
		if ended := h.Worked(); ended != f || ended.Lasted() != time.Hour {
			t.Errorf("what ended: %+v", ended)
		}
		if h.Worked() != nil || h.Failure() != nil {
			t.Error("it goes on after a success")
		}
		if f, due := h.Failed(errFirst); !due || f.Count != 1 {
			t.Error("the next failure does not begin anew")
		}
	})
}

func TestHealthTellsNowAndThenWhatGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := Health{Every: time.Minute}
		due := 0
		for range 181 { // three minutes
			if _, isDue := h.Failed(errFirst); isDue {
				due++
			}
			time.Sleep(time.Second)
		}
		if due != 4 {
			t.Errorf("%d lines in three minutes, want 4", due)
		}
	})
}

// Of many who fail or succeed at once, one begins and one ends it.
func TestHealthOfManyAtOnce(t *testing.T) {
	var h Health
	var due, ended atomic.Int64
	all := func(work func()) {
		var running sync.WaitGroup
		for range 8 {
			running.Go(func() {
				for range 100 {
					work()
				}
			})
		}
		running.Wait()
	}
	all(func() {
		if _, isDue := h.Failed(errFirst); isDue {
			due.Add(1)
		}
	})
	if h.Failure().Count != 800 {
		t.Errorf("%d failures of 800", h.Failure().Count)
	}
	all(func() {
		if h.Worked() != nil {
			ended.Add(1)
		}
	})
	if due.Load() != 1 || ended.Load() != 1 {
		t.Errorf("it began %d times and ended %d times", due.Load(), ended.Load())
	}
}
