package redisstream

import (
	"errors"
	"fmt"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

var errNotYet = errors.New("not yet")

// fill adds entries with the ids 1-0 to n-0.
func fill(t *testing.T, r *testkit.Redis, n int) {
	t.Helper()
	r.Do("EVAL", "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], i .. '-0', 'payload', string.rep('x', 500)) end", 1, testStream, n)
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
					r.Do("EVAL", "for i = 1, ARGV[2] do redis.call('XACK', KEYS[1], ARGV[1], i .. '-0') end", 1, testStream, name, g.acked)
				}
			}
			e := use(t, r, Options{})
			e.opt.MaxLen = keep
			if err := e.trim(limited(t)); err != nil {
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
	eventually(t, "a trimmed stream", func() error {
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
