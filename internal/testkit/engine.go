package testkit

import (
	"context"
	"slices"
	"strconv"
	"sync"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Engine is an engine in memory whose failures a test decides. It is for what real engines cannot be made to do
// at a chosen moment, or in virtual time; that real engines work is tested with real engines.
type Engine struct {
	lanes int

	mu       sync.Mutex
	changed  sync.Cond
	held     bool
	forget   bool
	epoch    uint64
	fail     func(b *engine.Batch) error
	stores   int
	records  []Stored
	messages []engine.Message
	dead     []buried
	buried   int // dead letters stored, with those that are removed
	known    map[string]bool
}

// Stored is a record as the engine got it.
type Stored struct {
	DeviceID, Codec, Time, ID, Payload string
}

// buried is a dead letter and its ref.
type buried struct {
	engine.DeadLetter
	ref string
}

// NewEngine returns an engine with that many lanes.
func NewEngine(lanes int) *Engine {
	e := &Engine{lanes: lanes, epoch: 1, known: make(map[string]bool)}
	e.changed.L = &e.mu
	return e
}

// Hold makes every Store wait, before it writes anything, until Release or the end of its context.
func (e *Engine) Hold() { e.set(func() { e.held = true }) }

// Release ends Hold.
func (e *Engine) Release() { e.set(func() { e.held = false }) }

// Fail makes fail decide every Store from now on: with an error the batch is not written, and fail may set
// Results of items that shall not be. nil ends it.
func (e *Engine) Fail(fail func(b *engine.Batch) error) { e.set(func() { e.fail = fail }) }

// Forget makes the engine take batches without keeping them or recognising duplicates, which costs next to
// nothing: for benchmarks.
func (e *Engine) Forget() { e.set(func() { e.forget = true }) }

// Lose makes the engine lose everything that it has stored.
func (e *Engine) Lose() {
	e.set(func() {
		e.epoch++
		e.records, e.dead, e.messages, e.known = nil, nil, nil, make(map[string]bool)
	})
}

func (e *Engine) set(change func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change()
	e.changed.Broadcast()
}

// Records are the stored records in order.
func (e *Engine) Records() []Stored {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.records)
}

// DeadLetters are the stored dead letters in order.
func (e *Engine) DeadLetters() []engine.DeadLetter {
	e.mu.Lock()
	defer e.mu.Unlock()
	var dead []engine.DeadLetter
	for _, d := range e.dead {
		dead = append(dead, d.DeadLetter)
	}
	return dead
}

// Messages are the stored messages in order.
func (e *Engine) Messages() []engine.Message {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.messages)
}

// Stores is how often Store has been called.
func (e *Engine) Stores() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stores
}

// WaitStores waits until Store has been called n times in all.
func (e *Engine) WaitStores(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.stores < n {
		e.changed.Wait()
	}
}

// Lanes implements engine.Engine.
func (e *Engine) Lanes() int { return e.lanes }

// Store implements engine.Engine. It recognises duplicates only of records, in a batch that is Unsure.
func (e *Engine) Store(ctx context.Context, _ int, b *engine.Batch) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stores++
	e.changed.Broadcast()
	if e.forget {
		e.tellEpochs(b)
		return nil
	}
	if e.awaitRelease(ctx); ctx.Err() != nil {
		return &engine.Error{Transient: true, Ambiguous: true, Err: ctx.Err()}
	}
	if e.fail != nil {
		if err := e.fail(b); err != nil {
			return err
		}
	}
	e.write(b)
	e.tellEpochs(b)
	return nil
}

func (e *Engine) tellEpochs(b *engine.Batch) {
	for k := range b.Epochs {
		b.Epochs[k] = e.epoch
	}
}

// awaitRelease waits while the engine is held and ctx has not ended.
func (e *Engine) awaitRelease(ctx context.Context) {
	if !e.held {
		return
	}
	wake := context.AfterFunc(ctx, func() { e.set(func() {}) })
	defer wake()
	for e.held && ctx.Err() == nil {
		e.changed.Wait()
	}
}

func (e *Engine) write(b *engine.Batch) {
	records, deadLetters, messages := b.ByKind()
	for i, r := range b.Records {
		id := string(r.ID)
		switch {
		case records[i].Err != nil:
		case b.Unsure && e.known[id]:
			records[i].Duplicate = true
		default:
			e.known[id] = true
			e.records = append(e.records, Stored{r.DeviceID, r.Codec, string(r.Time), id, string(r.Payload)})
		}
	}
	for i, d := range b.DeadLetters {
		if deadLetters[i].Err == nil {
			d.Frame = slices.Clone(d.Frame)
			e.buried++
			e.dead = append(e.dead, buried{d, strconv.Itoa(e.buried)})
		}
	}
	for i, m := range b.Messages {
		if messages[i].Err == nil {
			m.Payload = slices.Clone(m.Payload)
			e.messages = append(e.messages, m)
		}
	}
}

// Probe implements engine.Engine.
func (e *Engine) Probe(context.Context) (engine.Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return engine.Status{Known: true, Length: int64(len(e.records))}, nil
}

// Inspect implements engine.Inspector.
func (e *Engine) Inspect(context.Context) (engine.Durability, error) {
	return engine.Durability{Engine: "memory", Class: engine.MemoryOnly}, nil
}

// Tail implements engine.Tailer. It shows nothing.
func (e *Engine) Tail(ctx context.Context, _ bool, _ func([]byte) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// TailMessages implements engine.Tailer. It shows nothing.
func (e *Engine) TailMessages(ctx context.Context, _ bool, _ func(engine.Message) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// EachDeadLetter implements engine.DeadLetterStore.
func (e *Engine) EachDeadLetter(ctx context.Context, fn func(ref string, d engine.DeadLetter) error) error {
	e.mu.Lock()
	dead := slices.Clone(e.dead)
	e.mu.Unlock()
	for _, d := range dead {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(d.ref, d.DeadLetter); err != nil {
			return err
		}
	}
	return nil
}

// RemoveDeadLetters implements engine.DeadLetterStore.
func (e *Engine) RemoveDeadLetters(_ context.Context, refs []string) error {
	e.set(func() {
		e.dead = slices.DeleteFunc(e.dead, func(d buried) bool { return slices.Contains(refs, d.ref) })
	})
	return nil
}

// Close implements engine.Engine.
func (e *Engine) Close() error { return nil }
