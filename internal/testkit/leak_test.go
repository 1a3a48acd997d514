package testkit

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// tests stands for a package's tests.
type tests func() int

func (t tests) Run() int { return t() }

// TestALateDialIsNoLeak closes a client whose dials have failed so often that it dials in the background.
func TestALateDialIsNoLeak(t *testing.T) {
	before := goleak.IgnoreCurrent()
	code := AfterDials(tests(func() int {
		client := redis.NewClient(&redis.Options{
			Addr: "127.0.0.1:1", PoolSize: 1, MaxRetries: -1, DialerRetries: 1,
			Dialer: func(context.Context, string, string) (net.Conn, error) { return nil, io.ErrUnexpectedEOF },
		})
		for !dialsLate() {
			if err := client.Ping(context.Background()).Err(); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("PING ends with %v, want the dialer's error", err)
			}
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
		return 7
	})).Run()
	if code != 7 {
		t.Errorf("exit code %d, want the tests' own", code)
	}
	if dialsLate() {
		t.Errorf("a closed client still dials after %v", lateDialLimit)
	}
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}
