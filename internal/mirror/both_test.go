package mirror

import (
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// TestBoth: a frame is confirmed by the old platform's right answer, and by nothing else.
func TestBoth(t *testing.T) {
	for name, c := range map[string]struct {
		fail    func(*platform)
		confirm bool
	}{
		"acknowledges": {func(*platform) {}, true},
		"lies":         {lies(0, 0, 0, 1), false},
		"zero":         {lies(0, 0, 0, 0), false},
		"hangs":        {func(p *platform) { p.answer = func(string, int) any { return nil } }, false},
		"refuses":      {func(p *platform) { p.login = func(string) []byte { return []byte{0} } }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t).come()
			p.set(c.fail)
			m := mirrorTo(t, p, func(o *Options) { o.Both, o.AckTimeout = true, 1500*time.Millisecond })
			q := m.Hold(imei)
			defer q.Release()
			if q.Offer(frameOf(teltonika.Codec12, 0, 1, 9)) != nil {
				t.Error("a message, which nobody answers, has a receipt")
			}
			if got := q.Offer(frame(1)).Confirmed(nil); got != c.confirm {
				t.Errorf("confirmed: %v", got)
			}
			if n := m.total(t, "unacknowledged_total", ""); n != 0 == c.confirm {
				t.Errorf("%v are not acknowledged", n)
			}
		})
	}
}

// TestBothAway: nobody waits longer than he has to, copies whose devices send them again do not pile up, and when the
// old platform is back the next frame is confirmed.
func TestBothAway(t *testing.T) {
	p := newPlatform(t)
	m := mirrorTo(t, p, func(o *Options) { o.Both, o.AckTimeout = true, 30*time.Millisecond })
	q := m.Hold(imei)
	defer q.Release()
	stopped := make(chan struct{})
	close(stopped)
	for range 30 {
		if q.Offer(frame(1)).Confirmed(nil) || q.Offer(frame(1)).Confirmed(stopped) {
			t.Fatal("confirmed by nobody")
		}
	}
	testkit.Eventually(t, "copies are withdrawn", func() bool { return m.total(t, "waiting_frames", "") <= 2 })
	p.come()
	testkit.Eventually(t, "a frame is confirmed", func() bool { return q.Offer(frame(2)).Confirmed(nil) })
}
