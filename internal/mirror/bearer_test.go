package mirror

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestOutageIsNoAttempt: the time that the old platform is away does not speak against the frame in hand.
func TestOutageIsNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{Registerer: prometheus.NewRegistry()})
		b := newBearer(&Queue{mirror: m})
		b.hand = &attempts{}
		for n := range manyAttempts - 1 {
			if b.hopeless() {
				t.Fatalf("given up at attempt %d", n+1)
			}
			time.Sleep(maxStuck)
		}
		if !b.hopeless() {
			t.Error("not given up after many attempts and so long")
		}
	})
}
