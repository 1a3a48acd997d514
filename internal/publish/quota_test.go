package publish

import (
	"errors"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// Frames of a quota find no more room than it has, and leave the rest to others, however they end.
func TestQuota(t *testing.T) {
	p := newPublisher(t, testkit.NewEngine(1), 2000)
	quota := p.Quota(4)
	admit := func(n int) *Frame {
		t.Helper()
		f, err := p.Admit(quota, "d", n)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first, second := admit(300), admit(200)
	if _, err := p.Admit(quota, "d", 1); !errors.Is(err, ErrOverflow) {
		t.Errorf("a quota that is full: %v", err)
	}
	others, err := p.Admit(nil, "d", 1500)
	if err != nil {
		t.Fatal(err)
	}
	p.Discard(first)
	if _, err := p.Admit(quota, "d", 301); !errors.Is(err, ErrOverflow) {
		t.Errorf("more than the rest of the quota: %v", err)
	}
	fill(second, 1, 2)
	if outcome, err := p.Publish(second); err != nil || outcome.Published != 2 {
		t.Errorf("%+v, %v", outcome, err)
	}
	p.Discard(admit(500))

	big := admit(1)
	fill(big, 3)
	big.Buffer = append(big.Buffer, make([]byte, quota.maxBytes)...)
	if _, err := p.Publish(big); !errors.Is(err, ErrOverflow) {
		t.Errorf("more bytes than the quota's: %v", err)
	}
	full := admit(500)
	if _, err := p.Admit(p.Quota(1), "d", 1); !errors.Is(err, ErrOverflow) {
		t.Errorf("a queue that is full: %v", err)
	}
	p.Discard(full)
	p.Discard(others)
	if quota.queued.Load() != 0 || quota.bytes.Load() != 0 || p.Queued() != 0 {
		t.Errorf(
			"%d records and %d bytes of the quota are taken, %d of the queue",
			quota.queued.Load(),
			quota.bytes.Load(),
			p.Queued(),
		)
	}
	if small := newPublisher(t, testkit.NewEngine(1), 255).Quota(4); small.capacity != largestFrame {
		t.Errorf("a quota of %d records, which not every frame fits into", small.capacity)
	}
}
