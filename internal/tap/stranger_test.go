package tap

import (
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
)

// TestKnock: whoever knocks at any door is shown, with what he sent and what that means.
func TestKnock(t *testing.T) {
	h := NewHub(nil)
	ring := stranger.NewRing("one")
	ring.Watch = h.Knock
	tap := open(t, h, Filter{Strangers: true})
	outcomes := map[stranger.Cause]Outcome{
		stranger.CauseSilent: CutOff, stranger.CauseTLSUnused: CutOff, stranger.CauseLimit: TurnedAway,
		stranger.CauseCrowdedOut: TurnedAway, stranger.CauseRateLimited: TurnedAway, stranger.CauseTLS: Malformed,
		stranger.CausePlainOnTLS: Malformed, stranger.CauseOnHTTP: Malformed, stranger.CauseNoDatagram: Malformed,
		stranger.CauseProxyMissing: Malformed,
	}
	for cause, want := range outcomes {
		door, kind := stranger.DoorTLS, Login
		switch cause {
		case stranger.CauseOnHTTP:
			door = stranger.DoorAdmin
		case stranger.CauseNoDatagram:
			door, kind = stranger.DoorUDP, Datagram
		}
		ring.Knock(stranger.Knock{Door: door, Address: "192.0.2.7:40001", Cause: cause, First: []byte("hello there")})
		p, _ := next(t, tap)
		if p == nil {
			t.Errorf("%s is not shown", cause)
			continue
		}
		if p.Outcome != want || p.Reason != string(cause) || p.Kind != kind || p.Transport != string(door) || !p.Stranger ||
			string(p.Bytes) != "hello there" || p.Address.String() != "192.0.2.7:40001" || p.Error == "" ||
			time.Since(p.Time) > time.Minute {
			t.Errorf("%s: %+v", cause, p)
		}
	}
}
