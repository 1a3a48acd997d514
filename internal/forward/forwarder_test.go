package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// script is a consumer and a sink, which note what happens in which order. Real ones are in other tests.
type script struct {
	pages     [][]string // that Next gives, in turn; then nothing more comes
	reads     []error    // that Next fails with first
	delivers  []error    // that Deliver fails with first
	commits   []error
	holds     []error
	lag       error
	hangs     bool // Next does not return before its context ends
	happened  []string
	delivered func()
}

func next[T any](from *[]T) (first T) {
	if len(*from) > 0 {
		first, *from = (*from)[0], (*from)[1:]
	}
	return first
}

func (s *script) Next(ctx context.Context, n int, wait time.Duration) (page [][]byte, err error) {
	if err := next(&s.reads); err != nil {
		return nil, err
	}
	if s.hangs {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	for _, id := range next(&s.pages) {
		page = append(page, document1(id))
	}
	if len(page) == 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if len(page) > n {
		panic("the page is larger than asked for")
	}
	return page, nil
}

func document1(id string) []byte {
	if id == "junk" {
		return []byte("junk")
	}
	return fmt.Appendf(nil, `{"device_id":"35%s","timestamp":"2026-11-22T11:00:00.000Z","codec":"8","id":"%s",`+
		`"device":{"family":"FMB"},"signals":{"fuel.level":1}}`, strings.TrimRight(id, "0123456789"), id)
}

func (s *script) Commit(context.Context) error {
	err := next(&s.commits)
	s.happened = append(s.happened, outcome("commit", err))
	return err
}

func (s *script) Deliver(_ context.Context, batch []Item) error {
	err := next(&s.delivers)
	var ids []string
	for _, i := range batch {
		ids = append(ids, i.ID)
	}
	s.happened = append(s.happened, outcome(strings.Join(ids, " "), err))
	if err == nil && s.delivered != nil {
		s.delivered()
	}
	return err
}

func outcome(what string, err error) string {
	if err != nil {
		return what + " fails"
	}
	return what
}

func (s *script) refuse(reason string, items ...Item) error {
	var payloads []string
	for _, i := range items {
		payloads = append(payloads, string(i.Payload))
	}
	s.happened = append(s.happened, fmt.Sprintf("refused %q", payloads))
	return nil
}

func (s *script) Holds(context.Context) error { return next(&s.holds) }

func (s *script) Lag(context.Context) (engine.Group, error) {
	if s.lag != nil {
		return engine.Group{}, s.lag
	}
	return engine.Group{Unread: 7, Oldest: 3 * time.Second, Expired: 2}, nil
}

func (s *script) Close() error { return nil }

func (s *script) options() Options {
	return Options{
		Consumer: s, Sink: s, Refuse: s.refuse, Format: native, BatchRecords: 3, BatchBytes: 1 << 20,
		BatchWait: time.Second, StopTimeout: 10 * time.Second,
		Metrics: NewMetrics(prometheus.NewRegistry()), Logger: slog.New(slog.DiscardHandler),
	}
}

// forwards runs a forwarder for so long, and returns what happened.
func (s *script) forwards(t *testing.T, o Options, long time.Duration) (f *Forwarder, err error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), long)
		defer cancel()
		f = New(o)
		err = f.Run(ctx)
		cancel()
		synctest.Wait()
	})
	return f, err
}

func (s *script) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(s.happened, want) {
		t.Errorf("what happened is\n%s\nwant\n%s", strings.Join(s.happened, "\n"), strings.Join(want, "\n"))
	}
}

var errAway = errors.New("away")

// TestDeliveredThenCommitted gathers batches by count and by time, and commits each behind its delivery.
func TestDeliveredThenCommitted(t *testing.T) {
	s := &script{pages: [][]string{{"a1", "b1"}, {"a2"}, {"a3"}, nil, {"a4"}}}
	o := s.options()
	if _, err := s.forwards(t, o, time.Minute); err != nil {
		t.Fatal(err)
	}
	s.want(t, "a1 b1 a2", "commit", "a3", "commit", "a4", "commit")
	if n := testutil.ToFloat64(o.Metrics.delivered); n != 5 {
		t.Errorf("%v records are counted as delivered", n)
	}
}

// TestRetriedForEver keeps a batch in hand, whatever fails, until all of it is done.
func TestRetriedForEver(t *testing.T) {
	s := &script{
		pages: [][]string{{"a1", "a2"}, {"a3"}}, delivers: make([]error, 50), commits: []error{errAway, errAway},
		reads: []error{&engine.Error{Transient: true, Err: errAway}},
	}
	for i := range s.delivers {
		s.delivers[i] = errAway
	}
	o := s.options()
	o.BatchRecords = 2
	if _, err := s.forwards(t, o, time.Hour); err != nil {
		t.Fatal(err)
	}
	failures := slices.Repeat([]string{"a1 a2 fails"}, 50)
	s.want(t, append(failures, "a1 a2", "commit fails", "commit fails", "commit", "a3", "commit")...)
	for step, want := range map[string]float64{"read": 1, "delivery": 50, "commit": 2} {
		if n := testutil.ToFloat64(o.Metrics.retries.WithLabelValues(step)); n != want {
			t.Errorf("%v retries of a %s are counted, want %v", n, step, want)
		}
	}
}

// TestPermanentErrorEnds leaves the batch uncommitted.
func TestPermanentErrorEnds(t *testing.T) {
	s := &script{pages: [][]string{{"a1"}}, delivers: []error{fmt.Errorf("%w: no such topic", ErrPermanent)}}
	if _, err := s.forwards(t, s.options(), time.Hour); !errors.Is(err, ErrPermanent) {
		t.Errorf("the forwarder ends with %v", err)
	}
	s.want(t, "a1 fails")
	s = &script{reads: []error{&engine.Error{Err: errAway}}}
	if _, err := s.forwards(t, s.options(), time.Hour); !errors.Is(err, errAway) {
		t.Errorf("the forwarder of an engine that refuses to be read ends with %v", err)
	}
}

// TestSinkSaysWhen waits as long as the sink asks, up to a bound.
func TestSinkSaysWhen(t *testing.T) {
	var begin, at time.Time
	for asked, want := range map[time.Duration]time.Duration{7 * time.Second: 7 * time.Second, time.Hour: longestPause} {
		s := &script{pages: [][]string{{"a1"}}, delivers: []error{&RetryError{After: asked, Err: errAway}}}
		s.delivered = func() { at = time.Now() }
		o := s.options()
		o.BatchRecords = 1
		synctest.Test(t, func(t *testing.T) {
			begin = time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_ = New(o).Run(ctx)
			cancel()
			synctest.Wait()
		})
		if took := at.Sub(begin); took != want {
			t.Errorf("the batch is tried again after %v, want %v", took, want)
		}
	}
}

// TestStopFinishesBatch delivers what was read when the process is to end, and gives up on a sink that fails then.
func TestStopFinishesBatch(t *testing.T) {
	s := &script{pages: [][]string{{"a1"}}}
	o := s.options()
	o.BatchWait = time.Minute
	if _, err := s.forwards(t, o, 10*time.Second); err != nil {
		t.Error(err)
	}
	s.want(t, "a1", "commit")
	s = &script{pages: [][]string{{"a1"}}, delivers: slices.Repeat([]error{errAway}, 1000)}
	if f, err := s.forwards(t, s.options(), 10*time.Minute); err != nil || len(f.NotReady()) != 1 {
		t.Errorf("%v, and not ready for %q", err, f.NotReady())
	}
	if last := s.happened[len(s.happened)-1]; last != "a1 fails" {
		t.Errorf("at last %s", last)
	}
}

// TestStopEndsHangingDelivery waits for StopTimeout.
func TestStopEndsHangingDelivery(t *testing.T) {
	s := &script{pages: [][]string{{"a1"}}}
	o := s.options()
	o.Sink = hanging{}
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := New(o).Run(ctx); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != 20*time.Second {
			t.Errorf("the forwarder ended after %v, want 10 s and the timeout", took)
		}
		cancel()
		synctest.Wait()
	})
	s.want(t)
}

type hanging struct{}

func (hanging) Deliver(ctx context.Context, _ []Item) error { <-ctx.Done(); return ctx.Err() }
func (hanging) Close() error                                { return nil }

// TestTurnLost drops the batch that another process has come to read.
func TestTurnLost(t *testing.T) {
	turn := &engine.Error{Transient: true, Err: engine.ErrTurn}
	s := &script{pages: [][]string{{"a1"}}, reads: []error{turn, nil, turn}}
	if _, err := s.forwards(t, s.options(), time.Minute); err != nil {
		t.Fatal(err)
	}
	s.want(t)
	s = &script{pages: [][]string{{"a1"}, nil, {"a2"}}, commits: []error{turn}}
	f, err := s.forwards(t, s.options(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	s.want(t, "a1", "commit fails", "a2", "commit")
	f.noteReading(t.Context(), turn)
	if len(f.Warnings()) != 1 || len(f.NotReady()) != 0 {
		t.Errorf("one that waits warns %q and is not ready for %q", f.Warnings(), f.NotReady())
	}
}

// TestTurnLostWhileDeliveryFails does not deliver it any more.
func TestTurnLostWhileDeliveryFails(t *testing.T) {
	turn := &engine.Error{Transient: true, Err: engine.ErrTurn}
	s := &script{
		pages: [][]string{{"a1"}, nil, {"a2"}}, delivers: []error{errAway, errAway, errAway},
		holds: []error{nil, errAway, turn},
	}
	if _, err := s.forwards(t, s.options(), time.Minute); err != nil {
		t.Fatal(err)
	}
	s.want(t, "a1 fails", "a1 fails", "a1 fails", "a2", "commit")
}

// TestEngineThatHangs is one that cannot be read, and its lag is not known.
func TestEngineThatHangs(t *testing.T) {
	s := &script{hangs: true, lag: errAway}
	o := s.options()
	f, err := s.forwards(t, o, time.Minute)
	if err != nil || len(f.NotReady()) != 1 {
		t.Errorf("%v, and not ready for %q", err, f.NotReady())
	}
	records, seconds := testutil.ToFloat64(o.Metrics.lagRecords), testutil.ToFloat64(o.Metrics.lagSeconds)
	if records != -1 || seconds != -1 {
		t.Errorf("the lag is %v records and %v s", records, seconds)
	}
}

// TestRefusedAndFiltered puts aside what is no record, and commits what the filter leaves out.
func TestRefusedAndFiltered(t *testing.T) {
	s := &script{pages: [][]string{{"a1", "junk", "b1"}}}
	o := s.options()
	o.Filter.Devices = []string{"35b*"}
	if _, err := s.forwards(t, o, time.Minute); err != nil {
		t.Fatal(err)
	}
	s.want(t, `refused ["junk"]`, "b1", "commit")
	s = &script{pages: [][]string{{"a1"}}}
	o.Consumer, o.Sink = s, s
	o.Metrics = NewMetrics(nil)
	if _, err := s.forwards(t, o, time.Minute); err != nil {
		t.Fatal(err)
	}
	s.want(t, "commit")
	if n := testutil.ToFloat64(o.Metrics.filtered); n != 1 {
		t.Errorf("%v records are counted as filtered", n)
	}
}

// TestRefusedTogether puts aside in one step what has the same reason, and not more than a batch.
func TestRefusedTogether(t *testing.T) {
	s := &script{pages: [][]string{{"junk", "junk"}, {"junk"}, {"junk"}}}
	if _, err := s.forwards(t, s.options(), time.Minute); err != nil {
		t.Fatal(err)
	}
	s.want(t, `refused ["junk" "junk" "junk"]`, "commit", `refused ["junk"]`, "commit")
}

// TestBatchBytes gives the sink no more at once, but for one record that is larger.
func TestBatchBytes(t *testing.T) {
	s := &script{pages: [][]string{{"a1", "a2", "a3"}}}
	o := s.options()
	o.BatchBytes = 2*len(document1("a1")) + 1
	if _, err := s.forwards(t, o, time.Minute); err != nil {
		t.Fatal(err)
	}
	s.want(t, "a1 a2", "a3", "commit")
	s = &script{pages: [][]string{{"a1", "a2"}}}
	o.Consumer, o.Sink, o.BatchBytes, o.Metrics = s, s, 1, NewMetrics(nil)
	if _, err := s.forwards(t, o, time.Minute); err != nil {
		t.Fatal(err)
	}
	s.want(t, "a1", "a2", "commit")
}

// TestLagIsShown counts what expired once.
func TestLagIsShown(t *testing.T) {
	s := &script{}
	o := s.options()
	var log bytes.Buffer
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	if _, err := s.forwards(t, o, time.Minute); err != nil {
		t.Fatal(err)
	}
	records, seconds := testutil.ToFloat64(o.Metrics.lagRecords), testutil.ToFloat64(o.Metrics.lagSeconds)
	if expired := testutil.ToFloat64(o.Metrics.expired); records != 7 || seconds != 3 || expired != 2 {
		t.Errorf("the lag is %v records and %v s, %v expired", records, seconds, expired)
	}
	if n := strings.Count(log.String(), "removed before they were read"); n != 1 {
		t.Errorf("it is said %d times that records expired", n)
	}
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		filter Filter
		want   bool
	}{
		{Filter{}, true}, {Filter{Devices: []string{"35a"}}, true}, {Filter{Devices: []string{"35"}}, false},
		{Filter{Devices: []string{"36*", "35*"}}, true}, {Filter{Families: []string{"FMB"}}, true},
		{Filter{Families: []string{"FMC"}}, false}, {Filter{Signals: []string{"x", "fuel.level"}}, true},
		{Filter{Signals: []string{"x"}, Devices: []string{"35a"}}, false},
	} {
		o := Options{Filter: c.filter, Format: native}
		if _, wanted, err := o.item(document1("a1")); wanted != c.want || err != nil {
			t.Errorf("%+v: %v, %v", c.filter, wanted, err)
		}
	}
}
