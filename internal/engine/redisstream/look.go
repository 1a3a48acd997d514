package redisstream

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

const (
	firstPage = 128             // entries read at first: records are near their place
	lookPage  = 1024            // entries read at once then; fewer where so many do not come in time
	lookReach = 32_768          // entries read at the most behind a place: what a fleet stores in a moment
	lookTime  = 5 * time.Second // for which a batch's records are looked for, so that no device waits for long
)

// entryKey is what the fields of an entry and a record have in common, but for the document, which says when it came.
type entryKey struct{ device, time, codec string }

// sought are records of one device and time. An entry is the one whose id is in its payload: another one of that time
// may be there twice, so that their number says nothing.
type sought struct {
	after   streamID // the entries' place
	read    int      // entries behind the place so far
	records []soughtRecord
}

// soughtRecord refers to nothing of the batch, which is not kept when nobody waits for the search any more.
type soughtRecord struct {
	index int // in the batch
	id    string
	found bool
}

// done says whether there is nothing to read for it any more.
func (s *sought) done() bool {
	missing := func(r soughtRecord) bool { return !r.found }
	return s.read >= lookReach || !slices.ContainsFunc(s.records, missing)
}

// is notes an entry.
func (s *sought) is(payload string) {
	for i := range s.records {
		r := &s.records[i]
		r.found = r.found || strings.Contains(payload, r.id)
	}
}

// look reports those records as duplicates that are in the stream. One look at a time is enough for Redis.
func (l *lane) look(
	ctx context.Context, records []engine.Record, results []engine.Result, all map[entryKey]*sought,
) error {
	if len(all) == 0 {
		return nil
	}
	err := await(ctx, func() error {
		l.shard.looking.Lock()
		defer l.shard.looking.Unlock()
		return l.search(ctx, all)
	})
	if err = l.shard.unreadable(err); err != nil {
		return err
	}
	for _, s := range all {
		for _, r := range s.records {
			results[r.index].Duplicate = r.found
		}
	}
	return nil
}

// search reads the stream from each place on, what lies behind several places once.
func (l *lane) search(ctx context.Context, all map[entryKey]*sought) error {
	open := make([]*sought, 0, len(all))
	for _, s := range all {
		open = append(open, s)
	}
	var at streamID
	begun, size := time.Now(), min(firstPage, l.shard.lookPage)
	for {
		open = slices.DeleteFunc(open, (*sought).done)
		if len(open) == 0 || time.Since(begun) > lookTime {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err // nobody waits for it any more
		}
		at = next(open, at)
		page, err := l.term.client.XRangeN(ctx, l.records.key, "("+at.String(), "+", int64(size)).Result()
		if err != nil {
			l.shard.lookPage = max(size/8, 1) // the entries may be too large, or the way too slow
			return err
		}
		if at, err = count(page, all, open); err != nil || len(page) < size {
			return err
		}
		l.shard.lookPage = lookPage
		size = min(4*size, lookPage)
	}
}

// next is where to read on behind at: there, or at the lowest place if none of those that are open is before it.
func next(open []*sought, at streamID) streamID {
	lowest := open[0].after
	for _, s := range open {
		lowest = lower(lowest, s.after)
	}
	if lower(lowest, at) == lowest {
		return at
	}
	return lowest
}

// count notes the entries that are sought and returns the last one's id.
func count(page []redis.XMessage, all map[entryKey]*sought, open []*sought) (last streamID, err error) {
	text := func(entry redis.XMessage, field string) string { s, _ := entry.Values[field].(string); return s }
	for _, entry := range page {
		if last, err = parseStreamID(entry.ID); err != nil {
			return last, err
		}
		s := all[entryKey{text(entry, "device_id"), text(entry, "ts"), text(entry, "codec")}]
		if s != nil && s.after != last && lower(s.after, last) == s.after {
			s.is(text(entry, "payload"))
		}
	}
	for _, s := range open {
		if lower(s.after, last) == s.after {
			s.read += len(page)
		}
	}
	return last, nil
}
