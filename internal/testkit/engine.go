package testkit

import (
	"context"
	"hash/maphash"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Engine is an engine in memory whose failures a test decides. It is for what real engines cannot be made to do
// at a chosen moment, or in virtual time; that real engines work is tested with real engines.
type Engine struct {
	lanes   int
	sharded bool         // each lane is a shard
	secret  maphash.Seed // of the lanes' choice

	mu       sync.Mutex
	changed  sync.Cond
	held     map[int]bool   // lanes
	latest   map[int]uint64 // lanes' batches
	delay    time.Duration
	forget   bool
	epoch    uint64
	fail     func(b *engine.Batch) error
	failing  map[int]error // shards
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
	e := &Engine{
		lanes: lanes, secret: maphash.MakeSeed(), epoch: 1,
		held: map[int]bool{}, latest: map[int]uint64{}, failing: map[int]error{}, known: map[string]bool{},
	}
	e.changed.L = &e.mu
	return e
}

// Hold makes every Store wait, before it writes anything, until Release or the end of its context.
func (e *Engine) Hold() {
	e.set(func() {
		for lane := range e.lanes {
			e.held[lane] = true
		}
	})
}

// HoldLane is Hold of one lane.
func (e *Engine) HoldLane(lane int) { e.set(func() { e.held[lane] = true }) }

// Release ends Hold.
func (e *Engine) Release() { e.set(func() { clear(e.held) }) }

// Delay makes every Store take so long.
func (e *Engine) Delay(d time.Duration) { e.set(func() { e.delay = d }) }

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

// Lane implements engine.Engine.
func (e *Engine) Lane(deviceID string) int {
	return int(maphash.String(e.secret, deviceID) % uint64(e.lanes))
}

// Store implements engine.Engine. It recognises duplicates only in a batch that comes again.
func (e *Engine) Store(ctx context.Context, lane int, b *engine.Batch) error {
	if delay := e.delayed(); delay > 0 {
		time.Sleep(delay)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stores++
	e.changed.Broadcast()
	if e.forget {
		e.tellEpochs(b)
		return nil
	}
	if e.awaitRelease(ctx, lane); ctx.Err() != nil {
		return &engine.Error{Transient: true, Ambiguous: true, Err: ctx.Err()}
	}
	if e.fail != nil {
		if err := e.fail(b); err != nil {
			return err
		}
	}
	if err := e.failing[lane]; err != nil {
		return err
	}
	failFollowers(b)
	e.write(b, b.ID != 0 && b.ID == e.latest[lane])
	e.latest[lane] = b.ID
	e.tellEpochs(b)
	return nil
}

func (e *Engine) delayed() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.delay
}

func (e *Engine) tellEpochs(b *engine.Batch) {
	for k := range b.Epochs {
		b.Epochs[k] = e.epoch
	}
}

// awaitRelease waits while the lane is held and ctx has not ended.
func (e *Engine) awaitRelease(ctx context.Context, lane int) {
	if !e.held[lane] {
		return
	}
	wake := context.AfterFunc(ctx, func() { e.set(func() {}) })
	defer wake()
	for e.held[lane] && ctx.Err() == nil {
		e.changed.Wait()
	}
}

// write stores the batch. again says that some of it may be stored already.
func (e *Engine) write(b *engine.Batch, again bool) {
	records, deadLetters, messages := b.ByKind()
	for i, r := range b.Records {
		id := string(r.ID)
		switch {
		case records[i].Err != nil:
		case again && e.known[id]:
			records[i].Duplicate = true
		default:
			e.known[id] = true
			e.records = append(e.records, Stored{r.DeviceID, r.Codec, string(r.Time), id, string(r.Payload)})
		}
	}
	var deadThere []buried
	var messagesThere []engine.Message
	if again {
		deadThere, messagesThere = slices.Clone(e.dead), slices.Clone(e.messages)
	}
	for i, d := range b.DeadLetters {
		if deadLetters[i].Err == nil {
			deadLetters[i].Duplicate = takeOut(&deadThere, func(s buried) bool { return reflect.DeepEqual(s.DeadLetter, d) })
		}
		if deadLetters[i] == (engine.Result{}) {
			d.Frame = slices.Clone(d.Frame)
			e.buried++
			e.dead = append(e.dead, buried{d, strconv.Itoa(e.buried)})
		}
	}
	for i, m := range b.Messages {
		if messages[i].Err == nil {
			messages[i].Duplicate = takeOut(&messagesThere, func(s engine.Message) bool { return reflect.DeepEqual(s, m) })
		}
		if messages[i] == (engine.Result{}) {
			m.Payload = slices.Clone(m.Payload)
			e.messages = append(e.messages, m)
		}
	}
}

// takeOut removes the first one that is it, and reports whether there is any.
func takeOut[T any](items *[]T, is func(T) bool) bool {
	i := slices.IndexFunc(*items, is)
	if i >= 0 {
		*items = slices.Delete(*items, i, i+1)
	}
	return i >= 0
}

// Probe implements engine.Engine. It fails with what a Store would fail with, or because lanes are held: one of them,
// or every shard.
func (e *Engine) Probe(context.Context) (engine.Status, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fail != nil {
		if err := e.fail(&engine.Batch{}); err != nil {
			return engine.Status{}, err
		}
	}
	status := engine.Status{Known: true, Length: int64(len(e.records))}
	if e.sharded {
		return status, e.probeShards(&status)
	}
	if len(e.held) > 0 {
		return engine.Status{}, errHeld
	}
	return status, nil
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
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ref := range refs {
		if _, err := strconv.ParseUint(ref, 10, 64); err != nil {
			return &engine.Error{Err: err}
		}
	}
	if e.fail != nil {
		if err := e.fail(&engine.Batch{}); err != nil {
			return err
		}
	}
	e.dead = slices.DeleteFunc(e.dead, func(d buried) bool { return slices.Contains(refs, d.ref) })
	return nil
}

// Close implements engine.Engine.
func (e *Engine) Close() error { return nil }
