package redisstream

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/health"
)

// turnTime is how long after its last sign of life a process that reads counts as dead.
const turnTime = 6 * time.Second

// The scripts make sure that it is this process's turn in the moment in which they do something: one that was frozen
// must not take entries that the other one would never see. The turn's value is the member and the number of its claim,
// and only the newest claim reads: a read that the client has given up, and Redis executes later, takes nothing.
// ARGV begins with the member.
var (
	// takeTurn takes a turn that nobody has, or this member by an older claim: 1 or 2, 0 if it is not to be had. When
	// nobody has it but something is in hand, another may have had it: it is taken only while the first entry in hand
	// is not acknowledged. KEYS are the turn and the stream.
	takeTurn = redis.NewScript(`
local holder = redis.call('GET', KEYS[1])
if holder then
  if string.sub(holder, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
  if tonumber(string.sub(holder, #ARGV[1] + 1)) > tonumber(ARGV[2]) then return 0 end
elseif ARGV[5] ~= '' and #redis.call('XPENDING', KEYS[2], ARGV[4], ARGV[5], ARGV[5], 1) == 0 then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
return holder and 2 or 1`)

	keepTurn = redis.NewScript(`
if string.sub(redis.call('GET', KEYS[1]) or '', 1, #ARGV[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)

	endTurn = redis.NewScript(`
if string.sub(redis.call('GET', KEYS[1]) or '', 1, #ARGV[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])`)

	// readGroup has the stream and the turn as KEYS.
	readGroup = redis.NewScript(`
if redis.call('GET', KEYS[2]) ~= ARGV[1] .. ARGV[2] then return {0} end
return {1, redis.call('XREADGROUP', 'GROUP', ARGV[3], ARGV[3], 'COUNT', ARGV[4], 'STREAMS', KEYS[1], ARGV[5])}`)
)

// groupReader reads a shard's records as a consumer group.
type groupReader struct {
	shard  *shard
	group  string // which is also the consumer's name in it
	member string // this process, with a colon at its end
	key    string // of the turn

	held    atomic.Bool // as far as is known
	sure    bool        // no older claim can read any more
	claims  int64       // the number of the newest
	pending bool        // entries that were delivered before may be there, and come first
	after   string      // the id of the last of those that was given
	given   []string    // ids that are not acknowledged
	expired atomic.Int64
	state   health.Health
	retry   backoff // of a shard that failed
}

func newGroupReader(s *shard, group, member string) *groupReader {
	return &groupReader{
		shard: s, group: group, member: member + ":", key: s.recordStream() + ":turn:" + group,
		state: health.Health{Every: warnEvery},
	}
}

// read gives the next entries: first those that a process which died, or this one in a failed read, was given.
func (r *groupReader) read(ctx context.Context, n int) ([][]byte, error) {
	if n == 0 {
		return nil, nil
	}
	if failure := r.state.Failure(); failure != nil && r.retry.left() > 0 {
		return nil, failure.Err
	}
	if err := r.take(ctx); err != nil {
		return nil, err
	}
	if r.pending {
		payloads, more, err := r.page(ctx, n, r.after)
		if err != nil || more {
			return payloads, err
		}
		r.pending = false
	}
	payloads, _, err := r.page(ctx, n, ">")
	return payloads, err
}

// take has the turn taken, if it is not ours for sure. With errTurn or errLost it is another's.
func (r *groupReader) take(ctx context.Context) error {
	if r.held.Load() && r.sure {
		return nil
	}
	inHand := ""
	if len(r.given) > 0 {
		inHand = r.given[0]
	}
	r.claims++
	got, err := takeTurn.Run(ctx, r.shard.client(ctx), []string{r.key, r.shard.recordStream()},
		r.member, r.claims, turnTime.Milliseconds(), r.group, inHand).Int()
	switch {
	case err != nil:
		return r.failed(err)
	case got == 0:
		return r.lose()
	case got == 1:
		r.pending = true
	}
	if inHand == "" && (got == 1 || !r.held.Load()) {
		if err := r.claim(ctx); err != nil {
			return err
		}
	}
	r.held.Store(true)
	r.sure = true
	return nil
}

// What a read fails with while it is another's turn: errLost if that has taken what was in hand.
var (
	errTurn = &engine.Error{Transient: true, Err: engine.ErrTurn}
	errLost = &engine.Error{Transient: true, Err: fmt.Errorf("the turn is lost: %w", engine.ErrTurn)}
)

// lose notes that it is another's turn.
func (r *groupReader) lose() error {
	r.held.Store(false)
	if len(r.given) == 0 {
		return errTurn
	}
	r.given = nil
	return errLost
}

// rewind has everything given again that is not acknowledged.
func (r *groupReader) rewind() {
	r.pending, r.after, r.given = true, "0", nil
}

// failed notes that a command may or may not have been executed, or may be later.
func (r *groupReader) failed(err error) error {
	r.pending, r.sure = true, false // Redis may have given entries
	if refused, ok := asRefusal(err); ok && strings.Contains(string(refused), "NOGROUP") {
		r.held.Store(false) // it is made again with the turn
		r.given = nil
		return &engine.Error{Transient: true, Err: refused}
	}
	return err
}

// claim makes the group, if there is none, and begins with all that it has pending.
func (r *groupReader) claim(ctx context.Context) error {
	c := r.shard.client(ctx)
	err := c.XGroupCreateMkStream(ctx, r.shard.recordStream(), r.group, "0").Err()
	if refused, ok := asRefusal(err); err != nil && (!ok || refused.code() != "BUSYGROUP") {
		return err
	}
	r.rewind()
	for start := "0-0"; ; {
		answer, err := c.Do(ctx, "XAUTOCLAIM", r.shard.recordStream(), r.group, r.group, 0, start,
			"COUNT", trimStep, "JUSTID").Slice()
		if err != nil {
			return err
		}
		if len(answer) > 2 { // what was pending and has been removed, which Redis forgets with this answer
			gone, _ := answer[2].([]any)
			r.expired.Add(int64(len(gone)))
		}
		if start, _ = answer[0].(string); start == "0-0" || start == "" {
			return nil
		}
	}
}

// page reads entries behind an id, or, by ">", those that nobody was given. more says that there were any.
func (r *groupReader) page(ctx context.Context, n int, after string) (payloads [][]byte, more bool, err error) {
	answer, err := readGroup.Run(ctx, r.shard.client(ctx), []string{r.shard.recordStream(), r.key},
		r.member, r.claims, r.group, n, after).Slice()
	if err != nil {
		return nil, false, r.failed(err)
	}
	if len(answer) == 0 || answer[0] != int64(1) {
		return nil, false, r.lose()
	}
	if len(answer) < 2 {
		return nil, false, nil
	}
	for _, entry := range entriesOf(answer[1]) {
		more = true
		r.after = entry.id
		r.given = append(r.given, entry.id)
		switch {
		case entry.gone:
			r.expired.Add(1)
		case entry.payload != nil:
			payloads = append(payloads, entry.payload)
		}
	}
	return payloads, more, nil
}

// groupEntry is an entry as XREADGROUP shows it.
type groupEntry struct {
	id      string
	payload []byte // nil in somebody else's entry
	gone    bool   // it was pending and has been removed
}

// entriesOf are those of the one stream in the answer of XREADGROUP.
func entriesOf(answer any) (all []groupEntry) {
	streams, _ := answer.([]any)
	if len(streams) == 0 {
		return nil
	}
	stream, _ := streams[0].([]any)
	if len(stream) < 2 {
		return nil
	}
	entries, _ := stream[1].([]any)
	for _, e := range entries {
		entry, _ := e.([]any)
		if len(entry) < 2 {
			continue
		}
		id, _ := entry[0].(string)
		fields, there := entry[1].([]any)
		one := groupEntry{id: id, gone: !there}
		for i := 0; i+1 < len(fields); i += 2 {
			if value, ok := fields[i+1].(string); ok && fields[i] == "payload" {
				one.payload = []byte(value)
			}
		}
		all = append(all, one)
	}
	return all
}

// acknowledge tells Redis what is delivered, in parts.
func (r *groupReader) acknowledge(ctx context.Context) error {
	const part = 1000
	for len(r.given) > 0 {
		n := min(part, len(r.given))
		if err := r.shard.client(ctx).XAck(ctx, r.shard.recordStream(), r.group, r.given[:n]...).Err(); err != nil {
			return err
		}
		r.given = r.given[n:]
	}
	r.given = nil
	return nil
}

// lag is how far the group is in this shard. Redis keeps what it has not acknowledged.
func (r *groupReader) lag(ctx context.Context) (engine.Group, error) {
	all, err := r.shard.client(ctx).XLen(ctx, r.shard.recordStream()).Result()
	if err != nil || all == 0 {
		return engine.Group{Expired: r.expired.Load()}, err
	}
	answer, err := r.shard.client(ctx).Do(ctx, "XINFO", "GROUPS", r.shard.recordStream()).Result()
	if err != nil {
		return engine.Group{}, err
	}
	at := group{name: r.group, delivered: "0-0", lag: all} // as long as nobody has read
	for _, g := range parseGroups(answer) {
		if g.name == r.group {
			at = g
		}
	}
	oldest, err := r.shard.oldestUnread(ctx, []group{at})
	if err != nil {
		return engine.Group{}, err
	}
	sum := engine.Group{Lag: at.lag, Unread: at.unread(), Expired: r.expired.Load()}
	if oldest[0] != (streamID{}) {
		sum.Oldest = max(time.Millisecond, time.Since(time.UnixMilli(int64(oldest[0].ms))))
	}
	return sum, nil
}

// renew keeps the turn. Whether it is lost the next read finds out.
func (r *groupReader) renew(ctx context.Context) {
	if r.held.Load() {
		_ = keepTurn.Run(ctx, r.shard.client(ctx), []string{r.key}, r.member, turnTime.Milliseconds()).Err()
	}
}

// giveBack ends the turn. One that cannot be given back ends by itself.
func (r *groupReader) giveBack(ctx context.Context) {
	if r.held.Swap(false) {
		_ = endTurn.Run(ctx, r.shard.client(ctx), []string{r.key}, r.member).Err()
	}
}

// note remembers that the shard cannot be read, and says so if others can.
func (r *groupReader) note(err error, say bool) error {
	failure := r.shard.classify(err)
	if r.retry.left() <= 0 {
		r.retry.failed()
	}
	if _, due := r.state.Failed(failure); due && say {
		r.shard.log.Warn("stored records cannot be read, trying again", "stream", r.shard.recordStream(), "error", failure)
	}
	return failure
}

func (r *groupReader) noteWell() {
	r.state.Worked()
	r.retry.reset()
}
