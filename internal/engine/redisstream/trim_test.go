package redisstream

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

var errNotYet = errors.New("not yet")

// fill adds entries with the ids 1-0 to n-0.
func fill(t *testing.T, r *testkit.Redis, n int) {
	t.Helper()
	r.Do(
		"EVAL",
		"for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], i .. '-0', 'payload', string.rep('x', 500)) end",
		1,
		testStream,
		n,
	)
}

// deliver hands the next n entries to the group's consumer and acknowledges the first acked.
func deliver(t *testing.T, r *testkit.Redis, group string, n, acked int) {
	t.Helper()
	streams := r.Do("XREADGROUP", "GROUP", group, "c", "COUNT", n, "STREAMS", testStream, ">").([]any)
	for i, entry := range streams[0].([]any)[1].([]any) {
		if i < acked {
			r.Do("XACK", testStream, group, entry.([]any)[0])
		}
	}
}

func oldest(t *testing.T, r *testkit.Redis) int {
	t.Helper()
	var n int
	first := r.Do("XRANGE", testStream, "-", "+", "COUNT", 1).([]any)[0].([]any)[0].(string)
	if _, err := fmt.Sscanf(first, "%d-0", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// whole is how many entries an approximate trim may leave above the target: a node of the stream
// goes as a whole, and holds a few entries of this size.
const whole = 20

func TestTrimKeepsWhatGroupsNeed(t *testing.T) {
	const entries, keep = 30_000, 1000
	type group struct{ delivered, acked int }
	cases := []struct {
		name   string
		groups []group
		want   int // the oldest entry that must be left
	}{
		{"no groups", nil, entries - keep + 1},
		{"one group behind", []group{{5000, 5000}}, 5000},
		{"one group with pending entries", []group{{5000, 3000}}, 3001},
		{"a group that was delivered nothing", []group{{0, 0}, {5000, 5000}}, 1},
		{"a group that acknowledged nothing", []group{{5000, 0}}, 1},
		{"the slowest of three", []group{{20_000, 20_000}, {15_000, 14_000}, {14_500, 14_500}}, 14_001},
		{"groups that are through", []group{{entries, entries}}, entries - keep + 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := testkit.StartRedis(t)
			fill(t, r, entries)
			for i, g := range c.groups {
				name := fmt.Sprint("g", i)
				r.Do("XGROUP", "CREATE", testStream, name, "0")
				if g.delivered > 0 {
					deliver(t, r, name, g.delivered, 0)
					r.Do(
						"EVAL",
						"for i = 1, ARGV[2] do redis.call('XACK', KEYS[1], ARGV[1], i .. '-0') end",
						1,
						testStream,
						name,
						g.acked,
					)
				}
			}
			e := use(t, r, Options{})
			e.shards[0].maxLen = keep // set late, so that nothing trims by itself
			if err := newTrimmer(e.shards[0]).streams[0].trim(limited(t)); err != nil {
				t.Fatal(err)
			}
			got := oldest(t, r)
			if got > c.want || got < c.want-whole && got != 1 {
				t.Errorf("the oldest entry is %d, want %d or a few less", got, c.want)
			}
			if n := r.Do("XLEN", testStream).(int64); n < keep {
				t.Errorf("%d entries are left, want %d", n, keep)
			}
		})
	}
}

func TestTrimRunsByItself(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	use(t, r, Options{MaxLen: 100})
	fill(t, r, 5000)
	testkit.Succeeds(t, "a trimmed stream", patience, func() error {
		if n := r.Do("XLEN", testStream).(int64); n > 100+whole {
			return fmt.Errorf("%d entries", n)
		}
		return nil
	})
}

func TestTrimOff(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	fill(t, r, 5000)
	if err := e.Close(); err != nil { // waits for whatever runs in the background
		t.Fatal(err)
	}
	if n := r.Do("XLEN", testStream); n != int64(5000) {
		t.Errorf("%d entries", n)
	}
}

// A group that does not read keeps everything, and that is said: at once, then once a minute.
func TestTrimWarnsOfUnread(t *testing.T) {
	r := testkit.StartRedis(t)
	fill(t, r, 5000)
	r.Do("XGROUP", "CREATE", testStream, "quick", "$")
	r.Do("XGROUP", "CREATE", testStream, "slow", "0")
	deliver(t, r, "slow", 2000, 500)
	var log bytes.Buffer
	e := use(t, r, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	e.shards[0].maxLen = 1000
	trim := newTrimmer(e.shards[0]).streams[0]
	again := func(times int) {
		t.Helper()
		for range times {
			if err := trim.trim(limited(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	again(3)
	if n := r.Do("XLEN", testStream).(int64); n < 4500 {
		t.Errorf("%d of 4500 unread entries are left", n)
	}
	const warning = `group=slow unread=4500 limit=1000`
	if got := log.String(); strings.Count(got, "level=WARN") != 1 || !strings.Contains(got, warning) {
		t.Errorf("logged, want one warning with %s:\n%s", warning, got)
	}
	if status, err := e.Probe(limited(t)); err != nil || status.UnreadBeyondLimit() != 3500 {
		t.Errorf("%d unread records beyond the limit, want 3500: %+v, %v", status.UnreadBeyondLimit(), status, err)
	}
	trim.warned = trim.warned.Add(-warnEvery)
	again(1)
	if got := log.String(); strings.Count(got, "level=WARN") != 2 {
		t.Errorf("not warned again after a minute:\n%s", got)
	}

	r.Do("EVAL", "for i = 1, 2000 do redis.call('XACK', KEYS[1], 'slow', i .. '-0') end", 1, testStream)
	deliver(t, r, "slow", 3000, 3000)
	again(2)
	if n := r.Do("XLEN", testStream).(int64); n < 1000 || n > 1000+whole {
		t.Errorf("%d entries are left once all are read, want about 1000", n)
	}
	if got := log.String(); !strings.Contains(got, "within the stream's limit again") {
		t.Errorf("the end of the backlog is not logged:\n%s", got)
	}
	if status, err := e.Probe(limited(t)); err != nil || status.UnreadBeyondLimit() != 0 ||
		status.Groups["slow"] != (engine.Group{}) {
		t.Errorf("got %+v, %v, want nothing unread", status, err)
	}
}

// A group whose backlog Redis cannot tell any more, because somebody deleted an entry, has not caught up.
func TestTrimDoesNotTakeAnUnknownBacklogForNone(t *testing.T) {
	r := testkit.StartRedis(t)
	fill(t, r, 5000)
	r.Do("XGROUP", "CREATE", testStream, "slow", "0")
	deliver(t, r, "slow", 2000, 500)
	var log bytes.Buffer
	e := use(t, r, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	e.shards[0].maxLen = 1000
	trim := newTrimmer(e.shards[0]).streams[0]
	for _, deleted := range []string{"1-0", "4000-0"} {
		r.Do("XDEL", testStream, deleted)
		if err := trim.trim(limited(t)); err != nil {
			t.Fatal(err)
		}
	}
	if got := log.String(); strings.Count(got, "unread records exceed") != 1 || strings.Contains(got, "again") {
		t.Errorf("logged, want one warning and no end of it:\n%s", got)
	}
}

func TestTrimBoundsDeadLetters(t *testing.T) {
	t.Parallel()
	r := testkit.StartRedis(t)
	dead := deadStream(testStream)
	r.Do(
		"EVAL",
		"for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], i .. '-0', 'frame', string.rep('x', 500)) end",
		1,
		dead,
		35_000,
	)
	r.Do("XGROUP", "CREATE", dead, "reader", "0")
	var log bytes.Buffer
	e := use(t, r, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	e.shards[0].maxLen = 1000
	trim := newTrimmer(e.shards[0])
	for range 2 {
		if err := trim.trimDead(limited(t)); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.Do("XLEN", dead).(int64); n < leastDead || n > leastDead+whole {
		t.Errorf("%d dead letters are left, want about %d", n, leastDead)
	}
	if got := log.String(); strings.Count(got, "oldest dead letters removed") != 1 {
		t.Errorf("logged:\n%s", got)
	}
	for maxLen, want := range map[int64]int64{1: 10_000, 100_000: 10_000, 1_000_000: 100_000} {
		e.shards[0].maxLen = maxLen
		if got := newTrimmer(e.shards[0]).mostDead(); got != want {
			t.Errorf("%d dead letters beside %d records, want %d", got, maxLen, want)
		}
	}
}

// What a group needs of the messages is kept, whatever the groups of the records have read, and the other way round.
func TestTrimKeepsWhatGroupsOfMessagesNeed(t *testing.T) {
	r := testkit.StartRedis(t)
	const messages = testStream + ":messages"
	for _, stream := range []string{testStream, messages} {
		r.Do("EVAL", "for i = 1, 5000 do redis.call('XADD', KEYS[1], i .. '-0', 'payload', 'x') end", 1, stream)
	}
	r.Do("XGROUP", "CREATE", messages, "slow", "0")
	var log bytes.Buffer
	e := use(t, r, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	e.shards[0].maxLen = 1000
	trim := newTrimmer(e.shards[0])
	for _, s := range trim.streams {
		if err := s.trim(limited(t)); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.Do("XLEN", messages); n != int64(5000) {
		t.Errorf("%d messages are left of 5000 that nobody has read", n)
	}
	if n := r.Do("XLEN", testStream).(int64); n > 1000+100 {
		t.Errorf("%d records are left, the messages' group holds them", n)
	}
	if text := log.String(); !strings.Contains(text, "unread records exceed") ||
		!strings.Contains(text, "stream="+messages) {
		t.Errorf("nobody is told which stream is too long: %s", text)
	}
	r.Do("XGROUP", "SETID", messages, "slow", "$")
	if err := trim.streams[1].trim(limited(t)); err != nil {
		t.Fatal(err)
	}
	if n := r.Do("XLEN", messages).(int64); n > 1000+100 {
		t.Errorf("%d messages are left although they are read", n)
	}
}
