package testkit

import (
	"errors"
	"testing"
	"time"
)

// Timeout is how long a test waits for what must come, on a machine that has much else to do.
const Timeout = time.Minute

// Eventually waits until the condition holds, for Timeout.
func Eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	EventuallyIn(tb, what, Timeout, condition)
}

// EventuallyIn is Eventually where the test has a time of its own.
func EventuallyIn(tb testing.TB, what string, within time.Duration, condition func() bool) {
	tb.Helper()
	Succeeds(tb, what, within, func() error {
		if !condition() {
			return errNotYet
		}
		return nil
	})
}

var errNotYet = errors.New("not yet")

// Succeeds tries until there is no error any more.
func Succeeds(tb testing.TB, what string, within time.Duration, try func() error) {
	tb.Helper()
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for deadline := time.Now().Add(within); ; <-retry.C {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %s: %v", within, what, err)
		}
	}
}
