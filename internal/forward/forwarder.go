package forward

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/format"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
)

// Options are what a Forwarder is made of. All of them are set.
type Options struct {
	Consumer engine.Consumer
	Sink     Sink
	Refuse   Refuse // for what is no record, or none in the format
	Filter   Filter
	Format   format.Format // see FormatNamed

	BatchRecords int           // items that the sink gets at once, at the most
	BatchBytes   int           // of their payloads together
	BatchWait    time.Duration // how long a batch waits to be full, from its first record
	StopTimeout  time.Duration // how long the batch in hand may take when the process ends

	Metrics *Metrics
	Logger  *slog.Logger
}

// Forwarder carries records from a consumer to a sink, batch by batch: it reads one, delivers it, however long that
// takes, and commits it. So a device's records arrive in their order, and nothing is passed over.
type Forwarder struct {
	Options
	reading  health.Health // of the engine
	delivery health.Health // of the sink
	waiting  atomic.Bool   // another process of the group reads
}

const (
	pageRecords  = 250              // read at once
	mostRead     = 16384            // for a batch, when the filter leaves out most
	idleWait     = 2 * time.Second  // for a record, before the loop looks around
	failureEvery = time.Minute      // how often a failure that lasts is logged
	firstPause   = time.Second / 2  // after a failure, twice as long after each further one
	longestPause = 30 * time.Second // up to this
	answerLimit  = 10 * time.Second // for the engine, beyond what it is to wait for a record
	commitLimit  = 30 * time.Second // for a commit
)

// New returns a forwarder that has begun nothing.
func New(o Options) *Forwarder {
	f := &Forwarder{
		Options: o, reading: health.Health{Every: failureEvery}, delivery: health.Health{Every: failureEvery},
	}
	o.Metrics.observe(f)
	return f
}

// Run forwards until ctx ends, and then finishes the batch in hand. What it cannot deliver in StopTimeout is not
// committed, and comes again. The error is one that only a change of settings mends.
func (f *Forwarder) Run(ctx context.Context) error {
	work, end := f.work(ctx)
	defer end()
	defer f.beside(ctx, f.watchLag)()
	for ctx.Err() == nil {
		b, err := f.gather(ctx)
		if err == nil {
			err = f.carry(work, ctx, b)
		}
		switch {
		case ctx.Err() != nil && err != nil:
			f.Logger.Warn("stopped before the batch in hand was delivered, it comes again", "records", b.read, "error", err)
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// work is the context of what goes on for a while when ctx has ended.
func (f *Forwarder) work(ctx context.Context) (work context.Context, end context.CancelFunc) {
	work, end = context.WithCancel(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() { time.AfterFunc(f.StopTimeout, end) })
	return work, end
}

// beside runs what goes on until ctx ends or end is called, which waits for it: the consumer is closed after that.
func (f *Forwarder) beside(ctx context.Context, run func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer logging.ExitOnPanic(f.Logger)
		run(ctx)
	}()
	return func() { cancel(); <-ended }
}

// batch is what is read, delivered and committed together.
type batch struct {
	read    int
	items   []Item
	bytes   int // of the items and of what is refused
	refused []refusal
}

// refusal is a record that no sink gets.
type refusal struct {
	item   Item
	reason string
}

func (f *Forwarder) full(b *batch) bool {
	return len(b.items)+len(b.refused) >= f.BatchRecords || b.bytes >= f.BatchBytes || b.read >= mostRead
}

// gather reads until the batch is full, or as old as it may get, or ctx ends.
func (f *Forwarder) gather(ctx context.Context) (*batch, error) {
	b := &batch{}
	retry := backoff.Backoff{First: firstPause, Max: longestPause}
	var due time.Time
	for ctx.Err() == nil && !f.full(b) {
		wait := idleWait
		if b.read > 0 {
			if wait = time.Until(due); wait <= 0 {
				break
			}
		}
		payloads, err := f.next(ctx, min(pageRecords, f.BatchRecords-len(b.items)-len(b.refused)), wait)
		f.noteReading(ctx, err)
		switch {
		case errors.Is(err, engine.ErrTurn):
			*b = batch{} // which is the other process's now
		case err != nil && (b.read > 0 || ctx.Err() != nil):
			return b, nil // the next one finds out more
		case err != nil && !engine.IsTransient(err):
			return b, fmt.Errorf("the engine cannot be read: %w", err)
		case err != nil:
			f.Metrics.retries.WithLabelValues("read").Inc()
			retry.Wait(ctx)
			continue
		}
		retry.Reset()
		if b.read == 0 {
			due = time.Now().Add(f.BatchWait)
		}
		f.add(b, payloads)
	}
	return b, nil
}

// next reads. An engine that hangs is one that cannot be read now.
func (f *Forwarder) next(ctx context.Context, n int, wait time.Duration) ([][]byte, error) {
	limited, cancel := context.WithTimeout(ctx, wait+answerLimit)
	defer cancel()
	payloads, err := f.Consumer.Next(limited, n, wait)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		err = &engine.Error{Transient: true, Err: fmt.Errorf("no answer in time: %w", err)}
	}
	return payloads, err
}

// add sorts what was read.
func (f *Forwarder) add(b *batch, payloads [][]byte) {
	b.read += len(payloads)
	for _, payload := range payloads {
		item, wanted, err := f.item(payload)
		switch {
		case !wanted:
			f.Metrics.filtered.Inc()
		case err != nil:
			b.refused, b.bytes = append(b.refused, refusal{item, err.Error()}), b.bytes+len(payload)
		default:
			b.items, b.bytes = append(b.items, item), b.bytes+len(item.Payload)
		}
	}
}

// noteReading tells whose turn it is, and whether the engine can be read.
func (f *Forwarder) noteReading(ctx context.Context, err error) {
	waiting := errors.Is(err, engine.ErrTurn)
	if f.waiting.Swap(waiting) != waiting {
		if waiting {
			f.Logger.Info("another process of the group reads, waiting for the turn")
		} else if err == nil {
			f.Logger.Info("the turn to read has come")
		}
	}
	if err == nil || waiting {
		if ended := f.reading.Worked(); ended != nil {
			f.Logger.Info("stored records can be read again", "after", ended.Lasted())
		}
		return
	}
	if ctx.Err() != nil {
		return
	}
	if _, due := f.reading.Failed(err); due {
		f.Logger.Warn("stored records cannot be read, trying again", "error", err)
	}
}

// carry delivers the batch and commits it.
func (f *Forwarder) carry(work, running context.Context, b *batch) error {
	if b.read == 0 {
		return nil
	}
	err := f.finish(work, running, b)
	if errors.Is(err, engine.ErrTurn) {
		f.Logger.Warn("another process of the group has come to read, records may be delivered twice", "records", b.read)
		return nil
	}
	return err
}

func (f *Forwarder) finish(work, running context.Context, b *batch) error {
	for rest := b.refused; len(rest) > 0; {
		reason, items := rest[0].reason, []Item(nil)
		for ; len(rest) > 0 && rest[0].reason == reason; rest = rest[1:] {
			items = append(items, rest[0].item)
		}
		put := func(context.Context) error { return f.Refuse(reason, items...) }
		if err := f.untilDone(work, running, "refusal", put); err != nil {
			return err
		}
	}
	for rest := b.items; len(rest) > 0; {
		n := f.fitting(rest)
		if err := f.untilDone(work, running, "delivery", func(ctx context.Context) error {
			return f.deliver(ctx, rest[:n])
		}); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return f.untilDone(work, running, "commit", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, commitLimit)
		defer cancel()
		return f.Consumer.Commit(ctx)
	})
}

// fitting is how many of the items the sink may get at once.
func (f *Forwarder) fitting(items []Item) int {
	bytes := 0
	for n, i := range items {
		if bytes += len(i.Payload); n > 0 && bytes > f.BatchBytes || n == f.BatchRecords {
			return n
		}
	}
	return len(items)
}

func (f *Forwarder) deliver(ctx context.Context, items []Item) error {
	begin := time.Now()
	if err := f.Sink.Deliver(ctx, items); err != nil {
		return err
	}
	f.Metrics.duration.Observe(time.Since(begin).Seconds())
	f.Metrics.delivered.Add(float64(len(items)))
	f.Metrics.last.SetToCurrentTime()
	return nil
}

// untilDone does a step of the batch until it succeeds, for ever, or until another process has come to read. When the
// process is to end it does not try again.
func (f *Forwarder) untilDone(
	work, running context.Context, step string, do func(context.Context) error,
) error {
	retry := backoff.Backoff{First: firstPause, Max: longestPause}
	for {
		err := do(work)
		if err == nil {
			if ended := f.delivery.Worked(); ended != nil {
				f.Logger.Info("records are delivered again", "after", ended.Lasted(), "failures", ended.Count)
			}
			return nil
		}
		if errors.Is(err, ErrPermanent) || errors.Is(err, engine.ErrTurn) || running.Err() != nil {
			return err
		}
		if _, due := f.delivery.Failed(fmt.Errorf("%s: %w", step, err)); due {
			f.Logger.Warn("records are not delivered, trying again", "step", step, "error", err)
		}
		f.Metrics.retries.WithLabelValues(step).Inc()
		backoff.Pause(running, max(retry.Next(), after(err)))
		if err := f.holds(work); errors.Is(err, engine.ErrTurn) {
			return err
		}
	}
}

// holds asks whether the batch is still this process's to deliver. Why that cannot be told, the next read says.
func (f *Forwarder) holds(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return f.Consumer.Holds(ctx)
}

// after is how long the sink asks to be left alone.
func after(err error) time.Duration {
	var later *RetryError
	if !errors.As(err, &later) {
		return 0
	}
	return min(later.After, longestPause)
}

// NotReady says why nothing is delivered.
func (f *Forwarder) NotReady() (reasons []string) {
	if failure := f.reading.Failure(); failure != nil {
		reasons = append(reasons, "engine: "+failure.Err.Error())
	}
	if failure := f.delivery.Failure(); failure != nil {
		reasons = append(reasons, failure.Err.Error())
	}
	return reasons
}

// Warnings says what keeps nothing from being delivered.
func (f *Forwarder) Warnings() []string {
	if f.waiting.Load() {
		return []string{"another process of the group reads, this one waits for its turn"}
	}
	return nil
}
