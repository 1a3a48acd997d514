package redisstream

import (
	"context"
	"errors"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// What a device sends again may have been stored by somebody whose memory nobody has: by a process that was killed, or
// by another instance, which the device has left. The stream itself knows. Before a batch of which that may be so
// (engine.Batch.Recall) is written, the engine reads what has come into the stream since it last looked, and keeps
// where each record is. One that is found is read once more, because it may have been removed since: it is a duplicate
// only if it is there.

const (
	recallPage  = 1000            // entries read at once; fewer where so many do not come in time
	recallReach = 100_000         // entries read at the most before a batch: the newest
	recallTime  = 5 * time.Second // for which more is read, so that no device waits for long
	recallLimit = 1 << 18         // places kept; up to twice as many
)

// recall is what the engine knows of the records in the stream, whoever has stored them.
type recall struct {
	s    *shard
	seed maphash.Seed

	reading sync.Mutex // of the fields up to mu
	page    int        // entries to read at once
	newest  string     // id of the newest entry read; empty = none

	mu            sync.Mutex
	recent, older map[uint64]streamID // places of records, by the hash of their ids; older is dropped as a whole

	refused atomic.Bool // Redis does not let us read
}

func newRecall(s *shard) *recall {
	return &recall{s: s, page: recallPage, seed: maphash.MakeSeed(), recent: map[uint64]streamID{}}
}

// mark reports those records as duplicates that are in the stream of the client's server. It knows nothing of the items
// behind them.
func (r *recall) mark(
	ctx context.Context, c *redis.Client, records []engine.Record, results []engine.Result,
) error {
	if err := r.readable(await(ctx, func() error { return r.read(ctx, c) })); err != nil {
		return err
	}
	places := r.find(records, results)
	if len(places) == 0 {
		return nil
	}
	pipe := c.Pipeline()
	found := make(map[int]*redis.XMessageSliceCmd, len(places))
	for i, place := range places {
		id := place.String()
		found[i] = pipe.XRange(ctx, r.s.stream, id, id)
	}
	err := await(ctx, func() error { _, err := pipe.Exec(ctx); return err })
	if err != nil {
		return r.readable(err)
	}
	for i, there := range found {
		for _, entry := range there.Val() {
			results[i].Duplicate = recordID(entry) == string(records[i].ID)
		}
	}
	return nil
}

// await asks Redis, and leaves the question behind when ctx ends: the client hears of a deadline only, and a stop must
// not wait for a Redis that hangs.
func await(ctx context.Context, ask func() error) error {
	answered := make(chan error, 1)
	go func() { answered <- ask() }()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// find returns where records may be, by their index.
func (r *recall) find(records []engine.Record, results []engine.Result) map[int]streamID {
	r.mu.Lock()
	defer r.mu.Unlock()
	var places map[int]streamID
	for i := range records {
		if results[i].Duplicate {
			continue
		}
		key := maphash.Bytes(r.seed, records[i].ID)
		place, known := r.recent[key]
		if !known {
			place, known = r.older[key]
		}
		if known {
			if places == nil {
				places = map[int]streamID{}
			}
			places[i] = place
		}
	}
	return places
}

// read takes in what has come into the stream since the last time, newest first and no more than recallReach entries.
func (r *recall) read(ctx context.Context, c *redis.Client) error {
	r.reading.Lock()
	defer r.reading.Unlock()
	if err := ctx.Err(); err != nil {
		return err // nobody waits for it any more
	}
	newest, from, end := "", "-", "+"
	if r.newest != "" {
		from = "(" + r.newest
	}
	begun, size := time.Now(), r.page
	for count := 0; count < recallReach && time.Since(begun) < recallTime; count += size {
		page, err := c.XRevRangeN(ctx, r.s.stream, end, from, int64(size)).Result()
		if err != nil {
			r.page = max(size/8, 1) // the entries may be too large, or the way too slow
			return err
		}
		for _, entry := range page {
			r.add(entry)
		}
		if len(page) > 0 && newest == "" {
			newest = page[0].ID
		}
		if len(page) < size {
			break
		}
		end = "(" + page[len(page)-1].ID
	}
	r.page = recallPage
	if newest != "" {
		r.newest = newest
	}
	return nil
}

func (r *recall) add(entry redis.XMessage) {
	place, err := parseStreamID(entry.ID)
	id := recordID(entry)
	if err != nil || id == "" {
		return // somebody else's entry
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.recent) >= recallLimit {
		r.older, r.recent = r.recent, make(map[uint64]streamID, recallLimit)
	}
	r.recent[maphash.String(r.seed, id)] = place
}

// readable is nil where Redis refuses to show the stream for good: then nothing can be recognised.
func (r *recall) readable(err error) error {
	answer, ok := asRefusal(err)
	if !ok || answer.transient() {
		if errors.Is(err, redis.Nil) {
			return nil
		}
		return err
	}
	if !r.refused.Swap(true) {
		r.s.log.Warn("redis does not show the stream, what devices send again may be stored twice", "error", answer)
	}
	return nil
}

// recordID is the id in an entry's document, empty if it has none. No other key of it is "id", and no text in it has
// quotation marks.
func recordID(entry redis.XMessage) string {
	payload, _ := entry.Values["payload"].(string)
	_, rest, _ := strings.Cut(payload, `,"id":"`)
	id, _, closed := strings.Cut(rest, `"`)
	if !closed {
		return ""
	}
	return id
}
