package device

import (
	"context"
	"errors"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// awayStore never answers.
type awayStore struct{}

var errAway = errors.New("away")

func (awayStore) Load(ctx context.Context, _ []string) ([]Kept, error) {
	<-ctx.Done()
	return nil, errAway
}
func (awayStore) Save(ctx context.Context, _ []Kept) error { <-ctx.Done(); return errAway }
func (awayStore) Shared() bool                             { return false }
func (awayStore) Close() error                             { return nil }

// While the store is away whoever makes devices up fills no more than there is room for, and the devices that are
// connected are loaded in the end.
func TestWaitingIsBounded(t *testing.T) {
	const size = 1024
	s, _ := newSubject(t, size, func(o *Options) { o.Store = awayStore{} })
	connected := make([]*Device, 400)
	for i := range connected {
		connected[i] = s.Hold(imei(i))
		defer connected[i].Release()
	}
	for i := range 20 * size {
		d := s.Hold(imei(len(connected) + i))
		send(d, fmx6Elements...)
		d.Release()
	}
	s.keeper.mu.Lock()
	defer s.keeper.mu.Unlock()
	if n := len(s.keeper.waiting); n > 2*size || len(s.keeper.gone) > maxGone {
		t.Errorf("%d devices wait, %d have gone", n, len(s.keeper.gone))
	}
	waiting := map[*Device]bool{}
	for _, d := range s.keeper.waiting {
		waiting[d] = true
	}
	missing := 0
	for _, d := range connected {
		if !waiting[d] {
			missing++
		}
	}
	if missing > loadBatch { // what is being asked for now
		t.Errorf("%d of those that are connected do not wait any more", missing)
	}
	if n := testutil.ToFloat64(s.Metrics.forgotten.WithLabelValues(newsLost)); n == 0 {
		t.Error("what is lost is not counted")
	}
}
