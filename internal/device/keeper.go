package device

import (
	"context"
	"iter"
	"math"
	"slices"
	"sync"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
)

// maxGone bounds the devices that have gone from the table and are not saved yet.
const maxGone = 10_000

// keeper loads and saves a memory's devices. What it has in hand is bounded: a device waits to be loaded once at most,
// and only while it is in the table.
type keeper struct {
	memory *Memory
	loads  health.Health
	saves  health.Health
	beats  health.Health

	mu      sync.Mutex
	most    int       // devices to be loaded: as many as the tables have room for
	waiting []*Device // to be loaded
	gone    []*Device // from the table, with something to save
	wake    chan struct{}

	// Of the goroutine that saves.
	from   [2]int    // the part of each table that the next look begins with
	beatAt time.Time // when this process has last said that it lives
}

func newKeeper(m *Memory, most int) keeper {
	return keeper{memory: m, most: most, wake: make(chan struct{}, 1)}
}

// load has the device loaded, if it is time for that. It waits for nothing.
func (k *keeper) load(d *Device) {
	store := k.memory.Store
	if store == nil || !d.dueForLoad(time.Now(), store.Shared()) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.waiting) >= k.most {
		k.waiting = slices.DeleteFunc(k.waiting, (*Device).hasGone)
	}
	if len(k.waiting) >= k.most {
		d.notLoaded()
		return
	}
	k.waiting = append(k.waiting, d)
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// evicted takes a device that has gone from the table; d may be nil.
func (k *keeper) evicted(d *Device) {
	if d != nil {
		k.memory.Metrics.forgot(k.keepGone(d), 1)
	}
}

// keepGone has what is new of a device saved that has gone, and says what becomes of that.
func (k *keeper) keepGone(d *Device) (news string) {
	if k.memory.Store == nil || k.memory.Reads || d.isLoading() {
		return newsLost
	}
	if _, _, isNew := d.news(time.Now()); !isNew {
		return newsKept
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.gone) == maxGone {
		return newsLost
	}
	k.gone = append(k.gone, d)
	return newsKept
}

// next are the devices to be loaded now.
func (k *keeper) next() []*Device {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := min(loadBatch, len(k.waiting))
	batch := k.waiting[:n:n]
	if k.waiting = k.waiting[n:]; len(k.waiting) == 0 {
		k.waiting = nil // and its memory
	}
	return batch
}

// again has the batch loaded later.
func (k *keeper) again(batch []*Device) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.waiting = append(batch, k.waiting...)
}

// runLoads loads devices until ctx ends. What cannot be loaded is tried again.
func (k *keeper) runLoads(ctx context.Context) {
	retry := backoff.Backoff{First: 100 * time.Millisecond, Max: 5 * time.Second}
	for {
		batch := k.next()
		if len(batch) == 0 {
			select {
			case <-k.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		for k.loadBatch(ctx, batch) != nil {
			if !retry.Wait(ctx) {
				k.again(batch)
				return
			}
		}
		retry.Reset()
	}
}

func (k *keeper) loadBatch(ctx context.Context, batch []*Device) error {
	imeis := make([]string, len(batch))
	for i, d := range batch {
		imeis[i] = d.key
	}
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	found, err := k.memory.Store.Load(limited, imeis)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	k.note(&k.loads, callLoad, err)
	if err != nil {
		return err
	}
	byKey := make(map[string]*Kept, len(found))
	for i := range found {
		byKey[found[i].IMEI] = &found[i]
	}
	for _, d := range batch {
		d.restore(byKey[d.key])
	}
	return nil
}

// note counts a call, and logs when the store begins to fail and when it works again.
func (k *keeper) note(h *health.Health, call string, err error) {
	k.memory.Metrics.called(call, err)
	if err != nil {
		if _, due := h.Failed(err); due {
			k.memory.Logger.Warn("device store does not work, devices are what their elements say", "call", call,
				"error", err)
		}
	} else if ended := h.Worked(); ended != nil {
		k.memory.Logger.Info("device store works again", "call", call, "after", ended.Lasted(), "failures", ended.Count)
	}
}

// runSaves saves what is new until ctx ends.
func (k *keeper) runSaves(ctx context.Context) {
	retry := backoff.Backoff{First: saveEvery, Max: 30 * time.Second}
	for pause := saveEvery; backoff.Pause(ctx, pause); {
		if pause = saveEvery; k.beat(ctx) != nil || k.saveNews(ctx, saveMost) != nil {
			pause = retry.Next()
		} else {
			retry.Reset()
		}
	}
}

// last saves what is new before the process ends, also of devices that have only just logged in.
func (k *keeper) last() {
	if k.memory.Store == nil || k.memory.Reads || k.loads.Failure() != nil || k.saves.Failure() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastSave)
	defer cancel()
	for batch := k.next(); len(batch) > 0; batch = k.next() {
		if k.loadBatch(ctx, batch) != nil {
			break
		}
	}
	if k.saveNews(ctx, math.MaxInt) == nil { // or it has said so
		_ = k.memory.Store.Forget(ctx, []string{k.memory.runName()})
	}
}

// batch is what is saved at once.
type batch struct {
	kept     []Kept
	devices  []*Device
	versions []version
}

func (b *batch) add(d *Device, now time.Time) {
	if k, v, ok := d.news(now); ok {
		b.kept, b.devices, b.versions = append(b.kept, k), append(b.devices, d), append(b.versions, v)
	}
}

// saveNews saves what is new, of those that have gone first, and of the others of about most of them: the next look
// goes on with those behind.
func (k *keeper) saveNews(ctx context.Context, most int) error {
	gone := k.takeGone()
	if _, err := k.save(ctx, slices.Values(gone), maxGone); err != nil {
		k.giveBack(gone)
		return err
	}
	for i, t := range []*table{k.memory.devices, k.memory.claimed} {
		last, err := k.save(ctx, t.from(k.from[i]), most)
		if err != nil {
			return err
		}
		if last != nil {
			k.from[i] = t.place(last.key)
		}
	}
	return nil
}

// save saves what is new of the devices, of about most of them. It returns the last one if there may be more.
func (k *keeper) save(ctx context.Context, devices iter.Seq[*Device], most int) (last *Device, err error) {
	now := time.Now()
	var b batch
	for d := range devices {
		if b.add(d, now); len(b.kept) < saveBatch {
			continue
		}
		if err := k.saveBatch(ctx, &b); err != nil {
			return nil, err
		}
		if most -= len(b.kept); most <= 0 {
			return d, nil
		}
		b = batch{}
	}
	if len(b.kept) == 0 {
		return nil, nil
	}
	return nil, k.saveBatch(ctx, &b)
}

func (k *keeper) takeGone() []*Device {
	k.mu.Lock()
	defer k.mu.Unlock()
	gone := k.gone
	k.gone = nil
	return gone
}

// giveBack has those saved later that have gone; what of them was saved has no news.
func (k *keeper) giveBack(gone []*Device) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gone = append(gone, k.gone...)
	if above := len(k.gone) - maxGone; above > 0 {
		k.memory.Metrics.forgot(newsLost, above)
		k.gone = k.gone[above:]
	}
}

func (k *keeper) saveBatch(ctx context.Context, b *batch) error {
	limited, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	err := k.memory.Store.Save(limited, b.kept)
	if ctx.Err() == nil {
		k.note(&k.saves, callSave, err)
	}
	if err != nil {
		return err
	}
	for i, d := range b.devices {
		d.saved(&b.kept[i], b.versions[i])
	}
	return nil
}
