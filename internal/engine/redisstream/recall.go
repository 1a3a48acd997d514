package redisstream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// What a device sends again may have been stored by somebody whose memory nobody has: by a process that was killed, or
// by another instance, which the device has left. Every device has a mark, which is written before its records: where a
// connection is cut between the two, the mark names records that are not there. Where records are in doubt
// (engine.Doubt) the marks of their devices are read. A record that is in one is looked for in the stream, and is a
// duplicate only if it is there.
//
// A mark also says who wrote it. If that is not this engine, although the device had records stored here on the same
// connection, it has gone elsewhere. What it left here is no longer stored: it would come behind what is newer, and its
// device sends it again, because nobody has acknowledged it.

// placeAge is how long the newest entry that was confirmed to a lane is good enough as the place of a mark. The farther
// it is from the records, the more there is to read when they are looked for.
const placeAge = 100 * time.Millisecond

// errMovedOn is a record's fate.
var errMovedOn = &engine.Error{Err: engine.ErrMovedOn}

// recall settles those records that are stored already, and those whose devices have gone elsewhere. again says that
// an earlier attempt at the batch may have stored some.
func (l *lane) recall(ctx context.Context, b *engine.Batch, again bool) error {
	if l.marker.on = l.e.opt.Recall && !l.shard.unmarked.Load() && len(b.Records) > 0; !l.marker.on {
		return nil
	}
	l.marker.begin(b, again)
	if err := l.place(ctx); err != nil {
		return err
	}
	devices := l.marker.doubted(b, again)
	if len(devices) == 0 {
		return nil
	}
	if err := l.readMarks(ctx, devices); err != nil {
		return err
	}
	if err := l.look(ctx, b.Records, b.Results, l.marker.sought(b, again)); err != nil {
		return err
	}
	l.marker.leave(b, again)
	return nil
}

// place finds out behind which entry the batch's records come.
func (l *lane) place(ctx context.Context) error {
	m := &l.marker
	m.after, _ = parseStreamID(string(l.records.newest))
	if time.Since(m.placed) < placeAge {
		return nil
	}
	var newest []redis.XMessage
	err := await(ctx, func() (err error) {
		newest, err = l.term.client.XRevRangeN(ctx, l.records.key, "+", "-", 1).Result()
		return err
	})
	if err = l.shard.unreadable(err); err == nil && len(newest) > 0 {
		m.after, err = parseStreamID(newest[0].ID)
	}
	return err
}

// doubted are the devices whose marks have to be read.
func (m *marker) doubted(b *engine.Batch, again bool) (devices []string) {
	asked := map[string]bool{}
	for _, r := range m.stretches {
		device := b.Records[r.first].DeviceID
		for i := r.first; i < r.end; i++ {
			if (again || b.Records[i].Doubt != 0) && !asked[device] {
				asked[device] = true
				devices = append(devices, device)
			}
		}
	}
	return devices
}

// readMarks reads the marks of the devices. Those that cannot be read are as if there were none.
func (l *lane) readMarks(ctx context.Context, devices []string) error {
	pipe := l.term.client.Pipeline()
	latest := pipe.HMGet(ctx, markKey(l.records.key), devices...)
	older := pipe.HMGet(ctx, olderMarkKey(l.records.key), devices...)
	err := await(ctx, func() error { _, err := pipe.Exec(ctx); return err })
	if err = l.shard.unreadable(err); err != nil {
		return err
	}
	l.marker.read = make(map[string]mark, len(devices))
	for _, values := range [][]any{older.Val(), latest.Val()} {
		for i, value := range values {
			if text, ok := value.(string); ok {
				m, err := parseMark([]byte(text))
				if err != nil {
					continue // of a version to come
				}
				l.marker.read[devices[i]] = m
			}
		}
	}
	return nil
}

// sought are the places to look for those records that are in their devices' marks.
func (m *marker) sought(b *engine.Batch, again bool) map[entryKey]*sought {
	all := map[entryKey]*sought{}
	for i := range b.Records {
		r := &b.Records[i]
		if b.Results[i].Duplicate || r.Doubt == 0 && !again {
			continue
		}
		known := m.read[r.DeviceID]
		after, marked := known.place(r)
		if !marked {
			continue
		}
		k := entryKey{r.DeviceID, string(r.Time), r.Codec}
		s := all[k]
		if s == nil {
			s = &sought{after: after}
			all[k] = s
		}
		s.after = lower(s.after, after)
		s.records = append(s.records, soughtRecord{index: i, id: string(r.ID)})
	}
	return all
}

// leave leaves records that are not known to their devices, where these have gone elsewhere. One that may have come
// lately instead, which a mark cannot tell, sends it to this engine again, and finds the mark to be of this one then.
func (m *marker) leave(b *engine.Batch, again bool) {
	for i := range b.Records {
		r, result := &b.Records[i], &b.Results[i]
		waited := r.Doubt&engine.Waited != 0 || again
		known, marked := m.read[r.DeviceID]
		if result.Duplicate || !m.left[i] && !(waited && marked && known.writer != m.writer) {
			continue
		}
		result.Err = errMovedOn
		m.left[i] = true
		if r.Doubt&engine.Arrived != 0 {
			m.claim(r.DeviceID)
		}
	}
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

// unreadable is nil where Redis refuses for good to show what a resend would be recognised by.
func (s *shard) unreadable(err error) error {
	answer, ok := asRefusal(err)
	if !ok || answer.transient() {
		if errors.Is(err, redis.Nil) {
			return nil
		}
		return err
	}
	s.noteUnmarked(answer)
	return nil
}

// noteUnmarked says once that resends are not recognised, until a lane may mark again.
func (s *shard) noteUnmarked(why error) {
	if !s.unmarked.Swap(true) {
		s.log.Warn("redis does not let devices' last records be marked, what they send again elsewhere is stored twice",
			"error", why)
	}
}

// agreeMarks finds out whether Redis lets this user read, write and bound the marks, by a transaction that comes to
// nothing because its last command is wrong.
func (l *lane) agreeMarks() error {
	if !l.e.opt.Recall {
		return nil
	}
	if _, err := l.ask("MULTI"); err != nil {
		return l.shard.unreadable(err)
	}
	key, older, stream := markKey(l.records.key), olderMarkKey(l.records.key), l.records.key
	var refused error
	for _, command := range [][]string{
		{"HSET", key, "probe", ""}, {"HMGET", key, "probe"}, {"HLEN", key}, {"MEMORY", "USAGE", key},
		{"UNLINK", older}, {"RENAME", key, older}, {"XRANGE", stream, "-", "+"}, {"XREVRANGE", stream, "+", "-"},
	} {
		_, err := l.ask(command...)
		answer, ok := asRefusal(err)
		if moved := l.term.elsewhere(answer); !ok && err != nil || moved != nil {
			return firstError(moved, err)
		}
		if ok && !answer.transient() {
			refused = firstError(refused, answer)
		}
	}
	if _, err := l.ask("HSET"); err == nil {
		return errors.New("redis takes HSET without arguments")
	}
	_, err := l.ask("EXEC")
	answer, ok := asRefusal(err)
	if !ok || answer.code() != "EXECABORT" {
		return fmt.Errorf("redis begins a transaction and does not end it, allow EXEC or set REDIS_RECALL=false: %w", err)
	}
	if strings.Contains(string(answer), "NOPERM") {
		refused = firstError(refused, answer)
	}
	if refused == nil {
		l.shard.unmarked.Store(false)
		return nil
	}
	l.shard.noteUnmarked(refused)
	return nil
}
