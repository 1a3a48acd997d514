package redisstream

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// room bounds a stream of what devices can bring at line speed: dead letters, messages. Their bytes are bounded before
// a batch is written, because a flood of large frames brings gigabytes in between. Redis is asked how much memory the
// stream takes, which walks over all of it; so it is asked only when a part of the room that was left has been written.
type room struct {
	shard    *shard
	stream   string
	maxBytes int64                          // 0 = no bound
	readers  *readStream                    // whose unread entries go last; nil = nobody's
	note     func(limit int64, unread bool) // logs that entries were removed for new ones

	size    atomic.Int64 // bytes, as far as this process knows
	removed atomic.Int64 // entries that this process has removed for their bytes

	mu      sync.Mutex // of batches with such items only
	left    int64      // bytes that may be written before Redis is asked again
	writing int64      // bytes that lanes are about to write
	asked   time.Time
	took    time.Duration // the last question
	warned  time.Time
}

const (
	// entryOverhead is about what an entry takes beside its bytes in hex. Redis' allocator may add a quarter of all.
	entryOverhead = 256
	// roomFree is which part of the bytes is free after the oldest entries were removed, one in so many, and which part of
	// the room that is left may be written before Redis is asked again. Instances do not know what others write: eight of
	// them stay within the bound.
	roomFree = 8
	// roomPart is which part of the bytes may be written in any case before Redis is asked again, one in so many. It is
	// also what is free after unread entries were removed.
	roomPart = 64
	// lookEvery is how often Redis is asked in any case, but for no more than one part in lookShare of its time.
	lookEvery = 10 * time.Second
	lookShare = 100
	// roomPage is how many entries are read to learn how large the oldest are.
	roomPage = deadPage
	// nodeEntries is how many entries Redis keeps in one piece: stream-node-max-entries as it is by default.
	nodeEntries = 100
)

func newDeadRoom(s *shard) *room {
	return &room{
		shard: s, stream: s.deadStream(), maxBytes: s.part(s.e.opt.DeadMaxBytes),
		note: func(limit int64, _ bool) { noteDeadRemoved(s.log, limit) },
	}
}

func newMessageRoom(s *shard) *room {
	key := s.messageStream()
	return &room{
		shard: s, stream: key, maxBytes: s.part(s.e.opt.MessageMaxBytes), readers: &readStream{shard: s, key: key},
		note: func(limit int64, unread bool) {
			s.log.Warn("oldest messages removed to make room for new ones: read them in time, or allow more",
				"limit", limit, "unread", unread)
		},
	}
}

func noteDeadRemoved(log *slog.Logger, limit int64) {
	log.Warn("oldest dead letters removed to make room for new ones: replay or delete them in time", "limit", limit)
}

// takenBy is what a payload takes in a stream, at most.
func takenBy(payload []byte) int64 { return int64(2*len(payload)+entryOverhead) * 5 / 4 }

// makeRoom makes room for the batch's dead letters and messages. written has to be called when they are written, or
// are not.
func (s *shard) makeRoom(ctx context.Context, b *engine.Batch) (written func(), err error) {
	var dead, messages int64
	for i := range b.DeadLetters {
		dead += takenBy(b.DeadLetters[i].Frame)
	}
	for i := range b.Messages {
		messages += takenBy(b.Messages[i].Payload)
	}
	if dead+messages == 0 {
		return func() {}, nil
	}
	if err := s.dead.reserve(ctx, dead); err != nil {
		return nil, err
	}
	if err := s.messages.reserve(ctx, messages); err != nil {
		s.dead.written(dead)
		return nil, err
	}
	return func() {
		s.dead.written(dead)
		s.messages.written(messages)
	}, nil
}

// reserve removes the oldest entries if need be, so that n bytes more stay within the bound. written follows.
func (r *room) reserve(ctx context.Context, n int64) error {
	if r.maxBytes == 0 || n == 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left < n {
		if err := r.look(ctx, n); err != nil {
			return err
		}
	}
	r.left -= n
	r.writing += n
	r.size.Add(n)
	return nil
}

func (r *room) written(n int64) {
	if r.maxBytes == 0 || n == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writing -= n
}

// known is the size, as far as this process knows; -1 as long as it has not asked.
func (r *room) known() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked.IsZero() {
		return -1
	}
	return r.size.Load()
}

// learn takes over a size that another instance knows, if it does.
func (r *room) learn(size int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if size >= 0 {
		r.size.Store(size + r.writing)
	}
}

// full reports whether the engine removes entries for their bytes, or may lately have done so.
func (r *room) full() bool { return r.maxBytes > 0 && r.size.Load() > r.maxBytes/2 }

// trim removes what is too much by now, because of what others have written.
func (r *room) trim(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.maxBytes == 0 || time.Since(r.asked) < max(lookEvery, lookShare*r.took) {
		return nil
	}
	return r.look(ctx, 0)
}

// look asks Redis, and removes what is too much together with n bytes more. A user who may not ask has the number alone
// bounded.
func (r *room) look(ctx context.Context, n int64) error {
	part := r.maxBytes / roomPart
	n += r.writing
	begin := time.Now()
	size, err := r.measure(ctx)
	r.took = time.Since(begin)
	if err == nil && size+n+roomFree*part > r.maxBytes { // others may write a part each
		size, err = r.remove(ctx, size, max(0, r.maxBytes-n))
	}
	if err != nil && !optional(err) {
		return err
	}
	r.asked = time.Now()
	r.size.Store(size + r.writing)
	r.left = max(n, (r.maxBytes-size-n)/roomFree, part)
	return nil
}

// measure is how much memory the stream takes.
func (r *room) measure(ctx context.Context) (int64, error) {
	size, err := r.shard.client(ctx).MemoryUsage(ctx, r.stream, 0).Result()
	if errors.Is(err, redis.Nil) {
		return 0, nil
	}
	return size, err
}

// remove removes the oldest entries until all take clearly less than most, and returns what they take then. What a
// consumer group has not acknowledged goes only when there is nothing else, and no more of it than has to.
func (r *room) remove(ctx context.Context, size, most int64) (int64, error) {
	unread := false
	for {
		target := max(0, most-r.maxBytes/roomFree)
		if unread {
			target = max(0, most-r.maxBytes/roomPart)
		}
		if size <= target {
			return size, nil
		}
		count, err := r.excess(ctx, size-target)
		if err != nil || count == 0 {
			return size, err
		}
		removed, err := r.removeOldest(ctx, count, unread)
		if err != nil {
			return size, err
		}
		if removed == 0 && unread {
			return size, nil
		}
		if removed == 0 {
			unread = true
			continue
		}
		r.noteRemoved(removed, unread)
		if size, err = r.measure(ctx); err != nil {
			return size, err
		}
	}
}

// excess is about how many of the oldest entries take as many bytes. Their sizes differ, so not all that seems too much
// goes at once.
func (r *room) excess(ctx context.Context, bytes int64) (int64, error) {
	length, err := r.shard.client(ctx).XLen(ctx, r.stream).Result()
	if err != nil || length == 0 {
		return 0, err
	}
	oldest, err := r.shard.client(ctx).XRangeN(ctx, r.stream, "-", "+", roomPage).Result()
	if err != nil {
		return 0, err
	}
	return min(bytes/meanSize(oldest)+1, length/16+1, trimStep), nil
}

// removeOldest removes about count entries, of those that a consumer group has not acknowledged only if unread is set.
func (r *room) removeOldest(ctx context.Context, count int64, unread bool) (int64, error) {
	var groups []group
	var err error
	if r.readers != nil && !unread {
		if groups, err = r.readers.readers(ctx); err != nil {
			return 0, err
		}
	}
	if len(groups) == 0 {
		length, err := r.shard.client(ctx).XLen(ctx, r.stream).Result()
		if err != nil {
			return 0, err
		}
		return r.shard.client(ctx).XTrimMaxLen(ctx, r.stream, max(0, length-count)).Result()
	}
	needed, err := r.readers.oldestNeeded(ctx, groups)
	if err != nil {
		return 0, err
	}
	removed, err := r.shard.client(ctx).XTrimMinIDApprox(ctx, r.stream, needed.String(), max(count, nodeEntries)).Result()
	if err != nil || removed > 0 {
		return removed, err
	}
	return r.shard.client(ctx).XTrimMinID(ctx, r.stream, needed.String()).Result() // a part of a node
}

func meanSize(entries []redis.XMessage) int64 {
	sum := 0
	for _, entry := range entries {
		for _, value := range entry.Values {
			text, _ := value.(string)
			sum += len(text)
		}
		sum += entryOverhead
	}
	return int64(max(1, sum/max(1, len(entries))))
}

// noteRemoved counts what was removed for new entries, and warns once in a while.
func (r *room) noteRemoved(entries int64, unread bool) {
	r.removed.Add(entries)
	if time.Since(r.warned) >= warnEvery {
		r.warned = time.Now()
		r.note(r.maxBytes, unread)
	}
}
