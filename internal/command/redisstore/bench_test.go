package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// scriptTime is how long Redis has spent on scripts, in µs, and on how many.
func scriptTime(b *testing.B, r *testkit.Redis) (micros, calls float64) {
	b.Helper()
	_, line, _ := strings.Cut(r.Do("INFO", "commandstats").(string), "cmdstat_evalsha:calls=")
	count, rest, _ := strings.Cut(line, ",usec=")
	usec, _, _ := strings.Cut(rest, ",")
	calls, _ = strconv.ParseFloat(count, 64)
	micros, _ = strconv.ParseFloat(usec, 64)
	return micros, calls
}

func reportScripts(b *testing.B, r *testkit.Redis) {
	micros, calls := scriptTime(b, r)
	b.ReportMetric(micros/float64(b.N), "µs-redis/op")
	b.ReportMetric(micros/calls, "µs-redis/script")
}

// BenchmarkCommand is a whole life: submitted, handed out, begun, answered.
func BenchmarkCommand(b *testing.B) {
	r := testkit.StartRedis(b)
	a := start(b, r, "a")
	a.connect(deviceA)
	wantHolder(b, r, deviceA, "a")
	p := command.Timeouts{}
	ctx := context.Background()
	r.Do("CONFIG", "RESETSTAT")
	for b.Loop() {
		c := newCommand(deviceA)
		a.submit(b, c)
		a.grant(b, c.ID, p)
		if match, _, err := a.Settle(ctx, answer(deviceA, "yes"), p); err != nil || match != command.MatchAnswer {
			b.Fatal(match, err)
		}
	}
	reportScripts(b, r)
}

// BenchmarkWriteAll writes down again what is there already: all connections, as every heartbeat does. An operation is
// one batch.
func BenchmarkWriteAll(b *testing.B) {
	r := testkit.StartRedis(b)
	s := open(b, r, "a")
	defer func() { _ = s.Close() }()
	n := nodeOf(s)
	h := heartbeat{store: s, receiver: n}
	if err := h.beat(context.Background()); err != nil {
		b.Fatal(err)
	}
	for i := range sessionBatch {
		n.connect(fmt.Sprintf("35630704244%04d", i))
	}
	all := func() {
		if err := s.writeAll(context.Background(), n); err != nil {
			b.Fatal(err)
		}
	}
	all()
	b.ReportAllocs()
	r.Do("CONFIG", "RESETSTAT")
	for b.Loop() {
		all()
	}
	reportScripts(b, r)
}

// BenchmarkSweep expires commands. An operation is one batch.
func BenchmarkSweep(b *testing.B) {
	r := testkit.StartRedis(b)
	s := open(b, r, "a")
	defer func() { _ = s.Close() }()
	n := nodeOf(s)
	r.Do("CONFIG", "RESETSTAT")
	for b.Loop() {
		b.StopTimer()
		for i := range sweepBatch {
			c := newCommand(fmt.Sprint("device", i))
			c.Expires = c.Created
			n.submit(b, c)
		}
		r.Do("CONFIG", "RESETSTAT")
		b.StartTimer()
		if _, err := s.eval(context.Background(), scriptSweep, sweepBatch, 2000, "1"); err != nil {
			b.Fatal(err)
		}
	}
	_, calls := scriptTime(b, r)
	micros, _ := scriptTime(b, r)
	b.ReportMetric(micros/calls, "µs-redis/script")
}
