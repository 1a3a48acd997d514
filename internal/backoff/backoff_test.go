package backoff

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoffDoubles(t *testing.T) {
	b := Backoff{First: time.Second, Max: 5 * time.Second}
	var pauses []time.Duration
	for range 5 {
		pauses = append(pauses, b.Next()/time.Second)
	}
	b.Reset()
	pauses = append(pauses, b.Next()/time.Second)
	if want := []time.Duration{1, 2, 4, 5, 5, 1}; !slices.Equal(pauses, want) {
		t.Errorf("pauses %v s, want %v", pauses, want)
	}
	if b := (Backoff{First: time.Second, Max: time.Millisecond}); b.Next() != time.Millisecond {
		t.Error("the first pause is longer than the longest")
	}
}

func TestBackoffWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := Backoff{First: time.Second, Max: time.Hour}
		begin := time.Now()
		for i := range 2 {
			if !b.Wait(ctx) {
				t.Errorf("pause %d was ended", i+1)
			}
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("two pauses lasted %v", took)
		}
		time.AfterFunc(time.Second, cancel)
		if b.Wait(ctx) || time.Since(begin) != 4*time.Second {
			t.Errorf("the pause did not end with its context, but after %v", time.Since(begin))
		}
		if Pause(ctx, 0) {
			t.Error("a pause goes well whose context has ended")
		}
	})
}
