package redisstream

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// bury stores n dead letters of that many bytes in one lane, and returns the most memory that their stream took.
func bury(t *testing.T, r *testkit.Redis, e *Engine, lane, n, size int) (most int64) {
	for i := range n {
		b := &engine.Batch{DeadLetters: []engine.DeadLetter{enginetest.NewDeadLetter(fmt.Sprint("device", lane), i)}}
		b.DeadLetters[0].Frame = make([]byte, size)
		if err := e.Store(context.Background(), lane, enginetest.Sized(b)); err != nil {
			t.Error(err)
			return most
		}
		taken, _ := r.Do("MEMORY", "USAGE", deadStream(testStream), "SAMPLES", 0).(int64)
		most = max(most, taken)
	}
	return most
}

// A flood of dead letters, from several lanes of two instances, never takes more than its bytes, and the newest are
// kept.
func TestDeadLettersStayWithinTheirBytes(t *testing.T) {
	for name, size := range map[string]int{"large": 64 << 10, "small": 30} {
		t.Run(name, func(t *testing.T) {
			const limit = 16 << 20
			r := testkit.StartRedis(t)
			var log bytes.Buffer
			engines := []*Engine{
				use(t, r, Options{Lanes: 2, DeadMaxBytes: limit, Logger: slog.New(slog.NewTextHandler(&log, nil))}),
				use(t, r, Options{Lanes: 2, DeadMaxBytes: limit}),
			}
			bytesEach := 2*size + entryOverhead
			n := min(3*limit/bytesEach, 20_000)
			if size == 30 { // tens of thousands, quickly
				r.Do(
					"EVAL",
					"for i = 1, 200000 do redis.call('XADD', KEYS[1], '*', 'frame', string.rep('0', 60)) end",
					1,
					deadStream(testStream),
				)
				n = 8000
			}
			var burying sync.WaitGroup
			var most [4]int64
			for i := range 4 {
				burying.Go(func() { most[i] = bury(t, r, engines[i/2], i%2, n/4, size) })
			}
			burying.Wait()
			for _, taken := range most {
				if taken > limit {
					t.Errorf("%d bytes were taken, limit %d", taken, limit)
				}
			}
			status, err := engines[0].Probe(limited(t))
			if err != nil || status.DeadLetterLimit != limit || status.DeadLetterBytes <= limit/4 ||
				status.DeadLetterBytes > limit+limit/8 {
				t.Errorf("%+v, %v", status, err)
			}
			last := r.Do("XREVRANGE", deadStream(testStream), "+", "-", "COUNT", 1).([]any)[0].([]any)[1].([]any)
			if !strings.HasPrefix(last[3].(string), "device") {
				t.Errorf("the newest is %v", last[:4])
			}
			if removed := strings.Count(log.String(), "oldest dead letters removed"); size > 30 && removed != 1 {
				t.Errorf("logged:\n%s", log.String())
			}
		})
	}
}

// What is there already when an instance starts, or comes by others, is brought within the bytes too.
func TestDeadLettersOfBeforeAreBrought(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Do(
		"EVAL",
		"for i = 1, 100 do redis.call('XADD', KEYS[1], '*', 'frame', string.rep('0', 100000)) end",
		1,
		deadStream(testStream),
	)
	e := use(t, r, Options{DeadMaxBytes: 1 << 20})
	if err := e.shards[0].dead.trim(limited(t)); err != nil {
		t.Fatal(err)
	}
	if taken := r.Do("MEMORY", "USAGE", deadStream(testStream), "SAMPLES", 0).(int64); taken > 1<<20 || taken < 1<<19 {
		t.Errorf("%d bytes", taken)
	}
}

// A user who may not ask how much memory the stream takes stores all the same, and is told of the missing right.
func TestDeadLettersWithoutTheRightToMeasure(t *testing.T) {
	r := testkit.StartRedis(t)
	r.Do("ACL", "SETUSER", "blind", "on", ">secret", "~*", "+@all", "-memory|usage")
	e := use(t, r, Options{URL: strings.Replace(r.URL(), "://", "://blind:secret@", 1), DeadMaxBytes: 1 << 20})
	bury(t, r, e, 0, 40, 64<<10)
	if n := r.Do("XLEN", deadStream(testStream)); n != int64(40) {
		t.Errorf("%v dead letters", n)
	}
	d, err := e.Inspect(limited(t))
	if err != nil || !strings.Contains(strings.Join(d.Warnings, "\n"), "+memory|usage") {
		t.Errorf("%v, %v", d.Warnings, err)
	}
}

const testMessages = testStream + ":messages"

// tell stores n messages of that many bytes, one in a batch, and returns the most memory that their stream took, and
// the last batch's epoch of messages.
func tell(t *testing.T, r *testkit.Redis, e *Engine, first, n, size int) (most int64, epoch uint64) {
	t.Helper()
	for i := range n {
		b := &engine.Batch{
			Messages: []engine.Message{enginetest.NewMessage("356307042441013", first+i)},
			Known:    [engine.Kinds]bool{engine.KindMessage: true},
		}
		b.Messages[0].Payload = make([]byte, size)
		if err := e.Store(limited(t), 0, enginetest.Sized(b)); err != nil {
			t.Fatal(err)
		}
		most, epoch = max(most, messageBytes(r)), b.Epochs[engine.KindMessage]
	}
	return most, epoch
}

func messageBytes(r *testkit.Redis) int64 {
	taken, _ := r.Do("MEMORY", "USAGE", testMessages, "SAMPLES", 0).(int64)
	return taken
}

// A flood of messages never takes more than its bytes. The oldest go, which is counted, said once, and no loss.
func TestMessagesStayWithinTheirBytes(t *testing.T) {
	for name, size := range map[string]int{"large": 64 << 10, "small": 30} {
		t.Run(name, func(t *testing.T) {
			const limit = 2 << 20
			r := testkit.StartRedis(t)
			var log bytes.Buffer
			e := use(t, r, Options{Lanes: 1, MessageMaxBytes: limit, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			_, before := tell(t, r, e, 0, 1, size)
			if size == 30 { // thousands, quickly
				r.Do("EVAL", "for i = 1, 20000 do redis.call('XADD', KEYS[1], '*', 'payload', string.rep('0', 60)) end",
					1, testMessages)
			}
			stored := 3 * limit / (2*size + entryOverhead)
			most, now := tell(t, r, e, 1, stored, size)
			if most > limit || most < limit/2 {
				t.Errorf("%d bytes were taken, limit %d", most, limit)
			}
			if now != before {
				t.Errorf("epoch %d after %d: what goes for its bytes is taken for a loss", now, before)
			}
			status, err := e.Probe(limited(t))
			if err != nil || status.MessageLimit != limit || status.MessagesRemoved < 10 ||
				status.MessageBytes < limit/4 || status.MessageBytes > limit+limit/8 {
				t.Errorf("%+v, %v", status, err)
			}
			removed := strings.Count(log.String(), "oldest messages removed")
			if removed != 1 || strings.Contains(log.String(), "unread=true") {
				t.Errorf("logged:\n%s", log.String())
			}
		})
	}
}

// What a consumer group has not acknowledged goes only when it alone takes more than there is room for.
func TestUnreadMessagesGoLast(t *testing.T) {
	const limit, size = 2 << 20, 8 << 10
	r := testkit.StartRedis(t)
	var log bytes.Buffer
	e := use(t, r, Options{Lanes: 1, MessageMaxBytes: limit, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	tell(t, r, e, 0, 60, size)
	r.Do("XGROUP", "CREATE", testMessages, "g", "0")
	r.Do("XREADGROUP", "GROUP", "g", "c", "COUNT", 60, "STREAMS", testMessages, ">")
	entries := r.Do("XRANGE", testMessages, "-", "+").([]any)
	id := func(i int) any { return entries[i].([]any)[0] }
	for i := range 40 {
		r.Do("XACK", testMessages, "g", id(i))
	}
	there := func(first, last int) int { return len(r.Do("XRANGE", testMessages, id(first), id(last)).([]any)) }
	for first := 60; there(0, 0) > 0; first++ {
		if first == 1000 {
			t.Fatal("nothing that was acknowledged is removed")
		}
		tell(t, r, e, first, 1, size)
	}
	if pending := there(40, 59); pending != 20 {
		t.Errorf("%d of 20 messages are left that the group has not acknowledged", pending)
	}
	if strings.Contains(log.String(), "unread=true") {
		t.Errorf("logged:\n%s", log.String())
	}
	if most, _ := tell(t, r, e, 1000, 200, size); most > limit {
		t.Errorf("%d bytes were taken by what nobody acknowledges, limit %d", most, limit)
	}
	if there(40, 40) > 0 {
		t.Errorf("the oldest is still there")
	}
	if now := messageBytes(r); now < limit*7/8 {
		t.Errorf("%d of %d bytes are kept: more went than had to", now, limit)
	}
}
