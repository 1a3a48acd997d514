package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// commanded is a server whose devices are given commands by several senders at once.
type commanded struct {
	*server
	redis *testkit.Redis // nil on the embedded engine
	sent  atomic.Int64   // names the next command
}

// eachCommanded runs a benchmark on either engine.
func eachCommanded(b *testing.B, benchmark func(*testing.B, *commanded)) {
	b.Run("redis", func(b *testing.B) {
		r := testkit.StartRedis(b, "--appendonly", "yes")
		settings := map[string]string{"REDIS_URL": r.URL(), "REDIS_STREAM_MAXLEN": "200000"}
		benchmark(b, &commanded{server: startServer(b, settings), redis: r})
	})
	b.Run("embedded", func(b *testing.B) {
		benchmark(b, &commanded{server: startServer(b, map[string]string{"DATA_DIR": b.TempDir()})})
	})
}

// senders is how many requests are on their way at once.
const senders = 16

// order gives so many devices, from the first on, a command each, not faster than rate commands a second (0: at once).
// Each request waits for its result as long as wait. It ends early when ctx does.
func (c *commanded) order(ctx context.Context, b *testing.B, devices int, rate float64, wait time.Duration) {
	b.Helper()
	var next atomic.Int64
	var running sync.WaitGroup
	start := time.Now()
	for range senders {
		client := c.client()
		running.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(devices) {
					return
				}
				due := time.Duration(0)
				if rate > 0 {
					due = time.Duration(float64(i) / rate * float64(time.Second))
				}
				select {
				case <-ctx.Done():
					return
				case <-time.After(time.Until(start.Add(due))):
				}
				imei := fmt.Sprint(simulate.Defaults().IMEIBase + uint64(i))
				request := asks(strconv.FormatInt(c.sent.Add(1), 10), "getver")
				request.WaitMS = new(wait.Milliseconds())
				if _, err := client.Submit(b.Context(), imei, request); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
}

// finished is how many commands have their final state.
func (c *commanded) finished() float64 { return c.metric("teltonika_commands_total") }

// BenchmarkCommands gives each of two thousand quiet devices, which answer at once, a command over HTTP, and waits for
// all results: that is an iteration, and the figures are medians of them. A device takes no more than 20 in a row
// without a pause, so -benchtime 7x is fine and 100x is not.
//
//	commands/s      from the first request to the last result
//	server-µs/cmd   CPU of the server for one command, its request and its answer included
//	redis-µs/cmd    CPU of redis-server for one command
func BenchmarkCommands(b *testing.B) { benchmarkCommands(b, 0) }

// BenchmarkCommandsAwaited is the same with requests that wait for their results.
func BenchmarkCommandsAwaited(b *testing.B) { benchmarkCommands(b, patience) }

func benchmarkCommands(b *testing.B, wait time.Duration) {
	eachCommanded(b, func(b *testing.B, c *commanded) {
		const devices = 2000
		fleet := program(b, nil, "simulate", "--address", c.devices, "--quiet", "--devices", fmt.Sprint(devices), "--rate",
			"100",
			"--command-latency", "0")
		if err := fleet.Start(); err != nil {
			b.Fatal(err)
		}
		defer func() {
			fleet.Process.Kill()
			fleet.Wait()
		}()
		testkit.Eventually(b, "the fleet is connected", func() bool {
			return c.metric("teltonika_connections_active") == devices
		})
		all := func() {
			before := c.finished()
			c.order(b.Context(), b, devices, 0, wait)
			testkit.EventuallyIn(b, "every command has its result", 4*patience, func() bool {
				return c.finished() == before+devices
			})
		}
		all() // the first ones wait until the devices are ready for them
		var rate, serverCPU, redisCPU []float64
		for b.Loop() {
			start, server, redis := time.Now(), cpuSeconds(b, c.cmd.Process.Pid), c.redisSeconds(b)
			all()
			rate = append(rate, devices/time.Since(start).Seconds())
			serverCPU = append(serverCPU, (cpuSeconds(b, c.cmd.Process.Pid)-server)/devices*1e6)
			redisCPU = append(redisCPU, (c.redisSeconds(b)-redis)/devices*1e6)
		}
		b.ReportMetric(median(rate), "commands/s")
		b.ReportMetric(median(serverCPU), "server-µs/cmd")
		if c.redis != nil {
			b.ReportMetric(median(redisCPU), "redis-µs/cmd")
		}
		b.ReportMetric(0, "ns/op")
		if n := c.metric(`teltonika_commands_total{state="answered"}`); n != c.finished() {
			b.Errorf("%v of %v commands were answered", n, c.finished())
		}
	})
}

func (c *commanded) redisSeconds(b *testing.B) float64 {
	if c.redis == nil {
		return 0
	}
	return cpuSeconds(b, c.redis.PID())
}

// BenchmarkTelemetryBesideCommands is a fleet of a thousand devices that sends records, as fast as it gets ACKs and at
// half of that rate. An iteration is a round of three runs of ten seconds: without commands, with one for each device,
// and without again. The figures are medians of the rounds; -benchtime 7x makes seven.
//
//	p99-ratio      p99 from a frame sent to its ACK received: with commands, over the geometric mean of the runs without
//	noise-ratio    the same figure: the greater of the runs without, over the smaller; p99-ratio is no more certain
//	rate-ratio     records/s: with commands, over the mean of the runs without
//	p99-ms         without commands
//	commands/s     that were finished while the fleet was sending
func BenchmarkTelemetryBesideCommands(b *testing.B) {
	eachCommanded(b, func(b *testing.B, c *commanded) {
		full, _ := c.telemetry(b, 0, false) // warms up
		b.Run("full", func(b *testing.B) { benchmarkTelemetry(b, c, 0) })
		b.Run("half", func(b *testing.B) { benchmarkTelemetry(b, c, full.Rate/2) })
	})
}

func benchmarkTelemetry(b *testing.B, c *commanded, rate float64) {
	var ratio, noise, rateRatio, p99, commands []float64
	for b.Loop() {
		before, _ := c.telemetry(b, rate, false)
		with, finished := c.telemetry(b, rate, true)
		after, _ := c.telemetry(b, rate, false)
		first, last := before.Latency.P99, after.Latency.P99
		without := math.Sqrt(first * last)
		ratio = append(ratio, with.Latency.P99/without)
		noise = append(noise, max(first, last)/min(first, last))
		rateRatio = append(rateRatio, 2*with.Rate/(before.Rate+after.Rate))
		p99 = append(p99, without)
		commands = append(commands, finished/telemetrySeconds)
		b.Logf("p99 %.0f ms, with commands %.0f ms, without %.0f ms", first, with.Latency.P99, last)
	}
	b.ReportMetric(median(ratio), "p99-ratio")
	b.ReportMetric(median(noise), "noise-ratio")
	b.ReportMetric(median(rateRatio), "rate-ratio")
	b.ReportMetric(median(p99), "p99-ms")
	b.ReportMetric(median(commands), "commands/s")
	b.ReportMetric(0, "ns/op")
}

const telemetrySeconds = 10

// telemetry runs the fleet, with commands if so, and returns how many of them were finished meanwhile.
func (c *commanded) telemetry(b *testing.B, rate float64, commands bool) (f fleetResult, finished float64) {
	b.Helper()
	const devices = 1000
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var ordering sync.WaitGroup
	before := c.finished()
	if commands {
		ordering.Go(func() { c.order(ctx, b, devices, devices/(telemetrySeconds-1), 0) })
	}
	f = runFleet(b, c.server, "--devices", fmt.Sprint(devices), "--duration", fmt.Sprint(telemetrySeconds, "s"),
		"--rate", fmt.Sprint(rate), "--command-latency", "0-500ms")
	stop()
	ordering.Wait()
	return f, c.finished() - before
}
