package mirror

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func always() bool { return true }

// patient is for an old platform that answers, also where that takes long because the machine is busy.
func patient(o *Options) { o.AckTimeout, o.patience = 20*time.Second, 20*time.Second }

// TestBothLeft: nobody waits for a device whose connection has ended, and its copy is withdrawn.
func TestBothLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{AckTimeout: time.Minute, Registerer: prometheus.NewRegistry()})
		r, start := &Receipt{mirror: m, answer: make(chan error, 1)}, time.Now()
		if r.Confirmed(nil, func() bool { return time.Since(start) < 3*time.Second }) || !r.abandoned() {
			t.Error("confirmed, or not withdrawn")
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("waited for %v", took)
		}
	})
}

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
			m := mirrorTo(t, p, func(o *Options) {
				if o.Both, o.AckTimeout = true, 1500*time.Millisecond; c.confirm {
					patient(o)
				}
			})
			q := m.Hold(imei)
			defer q.Release()
			if q.Offer(frameOf(teltonika.Codec12, 0, 1, 9)) != nil {
				t.Error("a message, which nobody answers, has a receipt")
			}
			if got := q.Offer(frame(1)).Confirmed(nil, always); got != c.confirm {
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
	m := mirrorTo(t, p, func(o *Options) { o.Both, o.AckTimeout = true, 250*time.Millisecond })
	q := m.Hold(imei)
	defer q.Release()
	stopped := make(chan struct{})
	close(stopped)
	for range 10 {
		if q.Offer(frame(1)).Confirmed(nil, always) || q.Offer(frame(1)).Confirmed(stopped, always) {
			t.Fatal("confirmed by nobody")
		}
	}
	testkit.Eventually(t, "copies are withdrawn", func() bool { return m.total(t, "waiting_frames", "") <= 2 })
	p.come()
	testkit.Eventually(t, "a frame is confirmed", func() bool { return q.Offer(frame(2)).Confirmed(nil, always) })
}

// TestBothUnasked: what the old platform has said before a frame is sent confirms nothing, and the frame is sent on a
// connection that is in step.
func TestBothUnasked(t *testing.T) {
	early := func(more ...byte) func(string) []byte {
		return func(string) []byte { return append([]byte{teltonika.LoginAccept}, more...) }
	}
	for name, c := range map[string]struct {
		login     func(string) []byte
		outcome   string
		confirmed bool
	}{
		"an answer":          {early(0, 0, 0, 2), outcomeWrongAnswer, false},
		"half of one":        {early(0, 0), outcomeNoAnswer, false},
		"zeros":              {early(0, 0, 0, 0), outcomeWrongAnswer, false},
		"a command":          {early(command...), outcomeAcknowledged, true},
		"command and answer": {early(append(bytes.Clone(command), 0, 0, 0, 2)...), outcomeWrongAnswer, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlatform(t).come()
			p.set(func(p *platform) {
				p.login = c.login
				if !c.confirmed {
					p.answer = func(string, int) any { return nil }
				}
			})
			m := mirrorTo(t, p, func(o *Options) {
				if o.Both, o.AckTimeout = true, 700*time.Millisecond; c.outcome != outcomeNoAnswer {
					patient(o)
				}
			})
			q := m.Hold(imei)
			defer q.Release()
			if got := q.Offer(frame(1)).Confirmed(nil, always); got != c.confirmed {
				t.Fatalf("confirmed: %v", got)
			}
			m.expect(t, 1, "frames_total", c.outcome)
			p.set(func(p *platform) { p.login, p.answer = accept, acknowledge })
			testkit.Eventually(t, "a frame is confirmed", func() bool { return q.Offer(frame(2)).Confirmed(nil, always) })
		})
	}
}

// TestBothAnswersAMessage: an answer to a message, which has none, does not confirm the frame behind it.
func TestBothAnswersAMessage(t *testing.T) {
	p := newPlatform(t).come()
	p.set(func(p *platform) {
		p.message, p.answer = teltonika.AppendAck(nil, 2), func(string, int) any { return nil }
	})
	m := mirrorTo(t, p, func(o *Options) { patient(o); o.Both = true })
	q := m.Hold(imei)
	defer q.Release()
	q.Offer(frameOf(teltonika.Codec12, 0, 1, 9))
	p.has(imei, []byte{'m'})
	testkit.Eventually(t, "the answer is on its way", func() bool { return p.answered.Load() > 0 })
	if q.Offer(frame(1)).Confirmed(nil, always) {
		t.Error("confirmed by the answer to a message")
	}
	m.expect(t, 1, "frames_total", outcomeWrongAnswer)
}
