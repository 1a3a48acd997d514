package redisstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadline"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/redisdial"
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
	devices := l.marker.doubted(b, again)
	if err := l.consult(ctx, devices); err != nil || len(devices) == 0 {
		return err
	}
	if err := l.look(ctx, b.Records, b.Results, l.marker.sought(b, again)); err != nil {
		return err
	}
	l.marker.leave(b, again)
	return nil
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

// consult finds out behind which entry the batch's records come, and reads the marks of the devices: in one exchange,
// on the lane's own connection, because each device's first records wait for it.
func (l *lane) consult(ctx context.Context, devices []string) error {
	m := &l.marker
	m.after, _ = parseStreamID(string(l.records.newest))
	l.out = l.out[:0]
	place := time.Since(m.placed) >= placeAge
	if place {
		l.out = appendCommand(l.out, "XREVRANGE", l.records.key, "+", "-", "COUNT", "1")
	}
	keys := [...]string{olderMarkKey(l.records.key), markKey(l.records.key)} // of which the latter counts
	for _, key := range keys {
		l.out = appendMarksQuestion(l.out, key, devices)
	}
	if len(l.out) == 0 {
		return nil
	}
	return l.exchange(ctx, func() error {
		var err error
		if place {
			err = l.readPlace()
		}
		for range keys {
			if err == nil && len(devices) > 0 {
				err = l.readMarks(devices)
			}
		}
		return err
	})
}

// appendMarksQuestion appends HMGET with the devices as fields, if there are any.
func appendMarksQuestion(out []byte, key string, devices []string) []byte {
	if len(devices) == 0 {
		return out
	}
	out = appendLength(out, '*', 2+len(devices))
	out = appendBulk(appendBulk(out, "HMGET"), key)
	for _, device := range devices {
		out = appendBulk(out, device)
	}
	return out
}

// readPlace reads the answer to XREVRANGE: at most one entry, which is an id and fields.
func (l *lane) readPlace() error {
	if n, err := l.readable(readReply(l.in)); n == 0 || err != nil {
		return err
	}
	if _, err := readReply(l.in); err != nil {
		return err
	}
	id, err := readReply(l.in)
	if err != nil {
		return err
	}
	if l.marker.after, err = parseStreamID(string(id.text)); err != nil {
		return err
	}
	return skipReply(l.in)
}

// readMarks reads the answer to HMGET. Marks that cannot be read are as if there were none.
func (l *lane) readMarks(devices []string) error {
	if n, err := l.readable(readReply(l.in)); n == 0 || err != nil {
		return err
	}
	for _, device := range devices {
		value, err := readValue(l.in)
		if err != nil {
			return err
		}
		if m, err := parseMark(bytes.Clone(value)); err == nil { // else there is none, or one of a version to come
			l.marker.read[device] = m
		}
	}
	return nil
}

// readable returns how many elements an answer has: none where Redis refuses for good to show what a resend would be
// recognised by.
func (l *lane) readable(answer reply, err error) (n int64, _ error) {
	if err != nil {
		return 0, err
	}
	if refused := answer.err(); refused != nil {
		return 0, firstError(l.term.elsewhere(refusal(answer.text)), l.shard.unreadable(refused))
	}
	return answer.n, nil
}

// exchange sends what is in l.out and has read take the answers. If it fails, the connection is gone.
func (l *lane) exchange(ctx context.Context, read func() error) error {
	err := l.conn.SetDeadline(time.Now().Add(redisdial.Timeout))
	stop := deadline.Until(ctx, l.conn)
	if err == nil {
		_, err = l.conn.Write(l.out)
	}
	if err == nil {
		err = read()
	}
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		l.fail(err)
	}
	return err
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
