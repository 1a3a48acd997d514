package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/enginetest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// caretaker is an engine whose background work the test does, by a clock of its own.
type caretaker struct {
	*Engine
	conn *pgx.Conn
	now  time.Duration
}

func newCaretaker(t *testing.T, d database, kept time.Duration) *caretaker {
	t.Helper()
	c := &caretaker{Engine: d.start(t, func(o *Options) { o.Retention = Elsewhere })}
	c.opt.Retention = kept
	c.uptime = func() (string, time.Duration) { return "boot", c.now }
	t.Cleanup(func() { hangUp(c.conn) })
	return c
}

// after lets time pass and does a round.
func (c *caretaker) after(t *testing.T, passed time.Duration) {
	t.Helper()
	for ; passed > 0; passed -= time.Hour { // the clock takes no larger steps
		c.now += min(passed, time.Hour)
		if err := c.careRound(t.Context(), &c.conn); err != nil {
			t.Fatal(err)
		}
	}
	if c.conn == nil {
		t.Fatal("another one takes care")
	}
}

// recordAt is a record of the time so long ago.
func recordAt(n int, ago time.Duration) engine.Record {
	r := enginetest.NewRecord(device, n)
	r.Timestamp = time.Now().Add(-ago).UnixMilli()
	r.ID = fmt.Appendf(nil, "%s-%d-%016x", device, r.Timestamp, r.Hash)
	return r
}

// TestRetention keeps each row for the retention by the time at which it came. A partition goes whole, and only when
// all of it has been kept so long; what a group of consumers has not read is counted.
func TestRetention(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "retention")
	c := newCaretaker(t, d, 10*24*time.Hour)
	const days = 24 * time.Hour
	consumer, err := c.Consumer(t.Context(), "group")
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	batch := func(records ...engine.Record) {
		t.Helper()
		b := &engine.Batch{Records: records, DeadLetters: []engine.DeadLetter{enginetest.NewDeadLetter(device, 0)},
			Messages: []engine.Message{enginetest.NewMessage(device, 0)}}
		store(t, c.Engine, b)
	}
	wantRows := func(want string) {
		t.Helper()
		got := d.sql("SELECT (SELECT count(*) FROM records), (SELECT count(*) FROM records_other), " +
			"(SELECT count(*) FROM dead_letters), (SELECT count(*) FROM messages)")
		if got != want {
			t.Errorf("records, others, dead letters and messages: %s, want %s", got, want)
		}
	}
	batch(recordAt(0, 3*days), recordAt(1, 3*days), recordAt(2, 900*days), recordAt(3, 5*days), recordAt(4, 0))
	if got, err := consumer.Next(t.Context(), 1, time.Second); err != nil || len(got) != 1 {
		t.Fatalf("%d records, %v", len(got), err)
	}
	if err := consumer.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.after(t, time.Hour)
	wantRows("5|1|1|1")
	c.after(t, 5*days)
	batch(recordAt(5, 3*days)) // late, into a partition that has older rows
	c.after(t, 5*days-2*time.Hour)
	wantRows("6|1|2|2")
	c.after(t, 5*time.Hour)
	// Gone: the one of 900 days ago and the one of 5 days ago. Today's partition is not over.
	wantRows("4|0|1|1")
	if g, err := consumer.Lag(t.Context()); err != nil || g.Expired != 2 || g.Unread != 3 {
		t.Errorf("%+v, %v", g, err)
	}
	c.after(t, 6*days)
	wantRows("1|0|0|0")
	if n, _ := strconv.Atoi(d.sql("SELECT count(*) FROM ingestion_marks")); n > 120 {
		t.Errorf("%d marks", n)
	}
}

// TestCareIsDoneOnce: one process has the lock until its connection ends.
func TestCareIsDoneOnce(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "once")
	first, second := newCaretaker(t, d, time.Hour), newCaretaker(t, d, time.Hour)
	first.after(t, time.Minute)
	if err := second.careRound(t.Context(), &second.conn); err != nil || second.conn != nil {
		t.Fatalf("the second one takes care too: %v", err)
	}
	hangUp(first.conn)
	testkit.Eventually(t, "the other takes care", func() bool {
		return second.careRound(t.Context(), &second.conn) == nil && second.conn != nil
	})
}

// TestPartitionsAhead: those to come are there, and what was in the default partition goes to the one made for it.
func TestPartitionsAhead(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "ahead")
	c := newCaretaker(t, d, 0)
	c.opt.Retention = 30 * 24 * time.Hour
	store(t, c.Engine, &engine.Batch{Records: []engine.Record{recordAt(0, 0), recordAt(1, -3000*time.Hour)}})
	if got := d.sql("SELECT count(*) FROM ingestion_bounds"); got != "11" {
		t.Errorf("%s partitions, want those of the last 7 days, of today, and of 3 days more", got)
	}
	at := time.Now().Add(3000 * time.Hour).UnixMilli()
	d.sql(fmt.Sprintf("SELECT ingestion_partitions(%d, %d, 86400000, 1)", at, at))
	if got := d.sql("SELECT (SELECT count(*) FROM records_other), (SELECT count(*) FROM records)"); got != "0|2" {
		t.Errorf("in the default partition and in all: %s", got)
	}
	if last, whole, err := c.LastRecords(context.Background(), device, 5); err != nil || !whole || len(last) != 2 {
		t.Errorf("%d records, %v, %v", len(last), whole, err)
	}
}

// TestPartitionsBetweenOthers: with another retention partitions of another width fill what is left between those that
// are there, and a command that runs before the service leaves them to it.
func TestPartitionsBetweenOthers(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "between")
	command := d.start(t, func(o *Options) { o.Retention = Elsewhere })
	store(t, command, &engine.Batch{Records: []engine.Record{recordAt(0, 0)}})
	if got := d.sql("SELECT count(*) FROM ingestion_bounds"); got != "0" {
		t.Fatalf("a command makes %s partitions", got)
	}
	const days = 24 * time.Hour
	for _, kept := range []time.Duration{36 * time.Hour, 30 * days, 0, 90 * days} {
		c := newCaretaker(t, d, kept)
		c.after(t, time.Minute)
		hangUp(c.conn)
		// From the first one's low on each begins where the one before ends.
		if got := d.sql("SELECT count(*) FILTER (WHERE before < low) FROM (SELECT low, " +
			"lag(high) OVER (ORDER BY low) AS before FROM ingestion_bounds) AS b"); got != "0" {
			t.Errorf("retention %v: %s gaps", kept, got)
		}
		if got := d.sql("SELECT to_timestamp(min(low) / 1000) <= now() - interval '30 hours' AND " +
			"to_timestamp(max(high) / 1000) > now() + interval '30 hours' FROM ingestion_bounds"); got != "t" {
			t.Errorf("retention %v: the partitions do not reach from 30 hours ago to 30 hours ahead", kept)
		}
	}
	if got := d.sql("SELECT (SELECT count(*) FROM records_other), (SELECT count(*) FROM records)"); got != "0|1" {
		t.Errorf("in the default partition and in all: %s", got)
	}
}

// TestSkippedRecords: a partition goes whatever a group has not read of it. From skipCounted on it is not counted.
func TestSkippedRecords(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "skipped")
	c := newCaretaker(t, d, 24*time.Hour)
	store(t, c.Engine, &engine.Batch{Records: []engine.Record{recordAt(0, 0)}})
	const more = 2 * skipCounted
	at := time.Now().Add(-5 * time.Hour).UnixMilli()
	d.sql(fmt.Sprintf("INSERT INTO consumers (name) VALUES ('abandoned'); INSERT INTO records "+
		"(id, device_id, ts, hash, codec, payload) SELECT n, n, %d, n, '8', '{}' FROM generate_series(1, %d) AS n; "+
		"ANALYZE records", at, more))
	name := d.sql(fmt.Sprintf("SELECT name FROM ingestion_bounds WHERE low <= %d AND high > %[1]d", at))
	plan := d.sql("BEGIN; EXPLAIN (ANALYZE, TIMING off) " +
		strings.ReplaceAll(fmt.Sprintf(skip, name), "$1", strconv.Itoa(skipCounted)) + "; ROLLBACK")
	if !strings.Contains(plan, fmt.Sprint("actual rows=", skipCounted)) ||
		strings.Contains(plan, fmt.Sprint("actual rows=", more)) {
		t.Errorf("it counts more than it needs:\n%s", plan)
	}
	d.sql("INSERT INTO consumers (name, seq) SELECT 'behind', max(seq) - 5 FROM records")
	c.after(t, 26*time.Hour)
	if got, want := d.sql("SELECT string_agg(expired::text, ' ' ORDER BY name) FROM consumers"),
		fmt.Sprint(more, " ", 5); got != want {
		t.Errorf("skipped: %s, want %s", got, want)
	}
}

// TestNewHistory: after a failover a connection makes no partitions, which may take longer than it has.
func TestNewHistory(t *testing.T) {
	d := newDatabase(t, testkit.StartPostgres(t, "fsync=off"), "history")
	store(t, d.start(t), enginetest.NewBatch(device, 0, 1))
	oldest := d.sql("SELECT name FROM ingestion_bounds ORDER BY low LIMIT 1")
	d.sql("UPDATE ingestion_state SET history = 'another'; DROP TABLE " + oldest)
	store(t, d.start(t), enginetest.NewBatch(device, 1, 1))
	if got := d.sql("SELECT to_regclass('" + oldest + "') IS NULL, max(seq) > 1000000000 FROM records"); got != "t|t" {
		t.Errorf("no partition is made, and the numbers jump: %s", got)
	}
}
