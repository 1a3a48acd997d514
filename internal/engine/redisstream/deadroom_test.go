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
			bytesEach := 2*size + deadOverhead
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
	if err := e.dead.trim(limited(t)); err != nil {
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
