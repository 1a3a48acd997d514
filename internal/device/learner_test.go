package device

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// questions notes who is asked.
type questions struct {
	mu    sync.Mutex
	asked map[string]int
	fail  error
}

func (q *questions) ask(_ context.Context, imei string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.asked[imei]++
	return q.fail
}

func (q *questions) of(imei string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.asked[imei]
}

func answerOf(imei string) []byte { return fmt.Appendf(nil, "Ver:03.28.00_00 Hw:FMC130 IMEI:%s", imei) }

// connect is a connection of the device, up to its first ACK and beyond.
func (s *subject) connect(imei string) {
	d := s.Hold(imei)
	d.Acknowledged()
	time.Sleep(time.Second)
	synctest.Wait()
	d.Release()
}

// A device is asked after its first ACK, once on a connection, three times at most, and never once its model is known.
func TestDevicesAreAskedForTheirModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &questions{asked: map[string]int{}}
		s, stop := newSubject(t, 1000, func(o *Options) { o.Ask = q.ask })
		s.Hold(imei(1)).Release()
		time.Sleep(time.Minute)
		if q.of(imei(1)) != 0 {
			t.Error("asked before the first ACK")
		}
		s.connect(imei(1))
		if q.of(imei(1)) != 1 {
			t.Errorf("asked %d times", q.of(imei(1)))
		}
		s.Answered(imei(1), answerOf(imei(1)))
		for range 10 {
			s.connect(imei(1))
			s.connect(imei(2)) // which never answers
		}
		s.SetModels(ModelsOf(t, imei(3)+" FMB640\n"+imei(4)+" fmb\n"))
		s.connect(imei(3))
		s.connect(imei(4)) // whose model is not known
		d := s.HoldClaimed(imei(5))
		d.Acknowledged() // there is no way to ask it
		d.Release()
		for i, want := range []int{0, 1, maxAsked, 0, 1, 0} {
			if got := q.of(imei(i)); got != want {
				t.Errorf("device %d was asked %d times, want %d", i, got, want)
			}
		}
		if n := testutil.ToFloat64(s.Metrics.getver.WithLabelValues(getverAsked)); n != 1+maxAsked+1 {
			t.Errorf("%v questions counted", n)
		}
		stop()
	})
}

// What is refused is counted, and not repeated without end either.
func TestQuestionsThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &questions{asked: map[string]int{}, fail: fmt.Errorf("%w: deny *", ErrRefused)}
		s, stop := newSubject(t, 1000, func(o *Options) { o.Ask = q.ask })
		for range 10 {
			s.connect(imei(1))
		}
		if n := testutil.ToFloat64(s.Metrics.getver.WithLabelValues(getverRefused)); n != maxAsked ||
			q.of(imei(1)) != maxAsked || !s.log.Has("deny *") {
			t.Errorf("%v refused, %d asked", n, q.of(imei(1)))
		}
		q.fail = errors.New("away")
		s.connect(imei(2))
		if n := testutil.ToFloat64(s.Metrics.getver.WithLabelValues(getverFailed)); n != 1 {
			t.Errorf("%v failed", n)
		}
		stop()
	})
}

// A fleet that comes back at once is asked one after the other, and nobody waits for it.
func TestQuestionsArePaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &questions{asked: map[string]int{}}
		s, stop := newSubject(t, 20_000, func(o *Options) { o.Ask = q.ask })
		start := time.Now()
		for i := range 10_000 {
			d := s.Hold(imei(i))
			d.Acknowledged()
			d.Release()
		}
		if time.Since(start) > 0 {
			t.Error("a session has waited")
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		q.mu.Lock()
		n := len(q.asked)
		q.mu.Unlock()
		if want := int(10 * time.Second / askPause); n < want-1 || n > want+1 {
			t.Errorf("%d asked in 10 s, want %d", n, want)
		}
		stop()
	})
}
