package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// rounds is how often each figure is taken, the measured and its limit in turn; the median is reported.
const rounds = 3

// BenchmarkEndToEnd is a fleet, the server and redis-server as processes of their own on this machine, with ten
// records a frame. Its limit is redis-benchmark, which writes the same entries straight into Redis, 64 at a time.
//
//	records/s       acknowledged at full speed
//	of-limit        records/s as a share of redis-benchmark's
//	server-µs/rec   CPU of the server for one record
//	redis-µs/rec    CPU of redis-server for one record
//	server/redis    the ratio of the two
//	p50-ms, p99-ms  from a frame sent to its ACK received, at half of the full speed
func BenchmarkEndToEnd(b *testing.B) {
	for _, c := range []struct {
		name string
		args []string
	}{
		{"memory", nil},
		{"everysec", []string{"--appendonly", "yes", "--appendfsync", "everysec"}},
	} {
		b.Run(c.name, func(b *testing.B) { benchmarkEndToEnd(b, c.args) })
	}
}

func benchmarkEndToEnd(b *testing.B, redisArgs []string) {
	r := testkit.StartRedis(b, redisArgs...)
	s := startServer(b, map[string]string{"REDIS_URL": r.URL(), "REDIS_STREAM_MAXLEN": "200000"})
	for b.Loop() {
		var rate, limit, serverCPU, redisCPU, p50, p99 []float64
		for range rounds {
			serverBefore, redisBefore := cpuSeconds(b, s.cmd.Process.Pid), cpuSeconds(b, r.PID())
			full := runFleet(b, s, "--devices", "400", "--duration", "5s")
			records := full.Records
			serverCPU = append(serverCPU, (cpuSeconds(b, s.cmd.Process.Pid)-serverBefore)/records*1e6)
			redisCPU = append(redisCPU, (cpuSeconds(b, r.PID())-redisBefore)/records*1e6)
			rate = append(rate, full.Rate)
			limit = append(limit, redisBenchmark(b, r))

			half := runFleet(b, s, "--devices", "400", "--duration", "5s", "--rate", fmt.Sprint(full.Rate/2))
			p50, p99 = append(p50, half.Latency.P50), append(p99, half.Latency.P99)
		}
		b.ReportMetric(median(rate), "records/s")
		b.ReportMetric(median(rate)/median(limit), "of-limit")
		b.ReportMetric(median(serverCPU), "server-µs/rec")
		b.ReportMetric(median(redisCPU), "redis-µs/rec")
		b.ReportMetric(median(serverCPU)/median(redisCPU), "server/redis")
		b.ReportMetric(median(p50), "p50-ms")
		b.ReportMetric(median(p99), "p99-ms")
		b.ReportMetric(0, "ns/op")
	}
}

// BenchmarkEmbedded is the same with the embedded engine, which fsyncs every batch.
func BenchmarkEmbedded(b *testing.B) {
	s := startServer(b, map[string]string{"DATA_DIR": b.TempDir()})
	for b.Loop() {
		before := cpuSeconds(b, s.cmd.Process.Pid)
		full := runFleet(b, s, "--devices", "400", "--duration", "5s")
		b.ReportMetric(full.Rate, "records/s")
		b.ReportMetric((cpuSeconds(b, s.cmd.Process.Pid)-before)/full.Records*1e6, "server-µs/rec")
		half := runFleet(b, s, "--devices", "400", "--duration", "5s", "--rate", fmt.Sprint(full.Rate/2))
		b.ReportMetric(half.Latency.P50, "p50-ms")
		b.ReportMetric(half.Latency.P99, "p99-ms")
		b.ReportMetric(0, "ns/op")
	}
}

// BenchmarkEndToEndSignals compares a server that says what elements mean with one that does not, in turns, on one
// Redis without an append-only file.
func BenchmarkEndToEndSignals(b *testing.B) {
	r := testkit.StartRedis(b)
	start := func(signals string) *server {
		return startServer(b, map[string]string{
			"REDIS_URL": r.URL(), "REDIS_STREAM_MAXLEN": "200000", "SIGNALS": signals, "DATA_DIR": b.TempDir(),
		})
	}
	with, without := start("true"), start("false")
	measure := func(s *server) (rate, cpu float64) {
		before := cpuSeconds(b, s.cmd.Process.Pid)
		full := runFleet(b, s, "--devices", "400", "--duration", "5s")
		return full.Rate, (cpuSeconds(b, s.cmd.Process.Pid) - before) / full.Records * 1e6
	}
	for b.Loop() {
		var rates, rateRatio, cpuRatio []float64
		for range rounds {
			rate, cpu := measure(with)
			plainRate, plainCPU := measure(without)
			rates, rateRatio = append(rates, rate), append(rateRatio, rate/plainRate)
			cpuRatio = append(cpuRatio, cpu/plainCPU)
		}
		b.ReportMetric(median(rates), "records/s")
		b.ReportMetric(median(rateRatio), "with/without")
		b.ReportMetric(median(cpuRatio), "server-cpu-with/without")
		b.ReportMetric(0, "ns/op")
	}
}

// fleetResult is what matters here of the JSON that simulate prints.
type fleetResult struct {
	Records float64 `json:"records_acknowledged"`
	Rate    float64 `json:"records_per_second"`
	Latency struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latency_ms"`
}

// runFleet runs simulate as a process of its own, with ten records a frame in Codec 8 Extended.
func runFleet(b *testing.B, s *server, args ...string) fleetResult {
	b.Helper()
	args = append([]string{"simulate", "--address", s.devices, "--json", "--quiet", "--ramp", "0",
		"--records-per-frame", "10", "--codec", "8E:1"}, args...)
	cmd := program(b, nil, args...)
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("simulate: %v\n%s", err, out)
	}
	var result fleetResult
	if err := json.Unmarshal(out, &result); err != nil || result.Records == 0 {
		b.Fatalf("simulate: %v\n%s", err, out)
	}
	return result
}

// redisBenchmark writes entries like the server's with redis-benchmark and returns how many a second.
func redisBenchmark(b *testing.B, r *testkit.Redis) float64 {
	b.Helper()
	entry := r.Do("XREVRANGE", "telemetry:teltonika", "+", "-", "COUNT", 1).([]any)[0].([]any)[1].([]any)
	host, port, _ := strings.Cut(r.Addr(), ":")
	args := []string{"-h", host, "-p", port, "-P", "64", "-n", "600000", "--csv",
		"XADD", "telemetry:benchmark", "MAXLEN", "~", "200000", "*"}
	for _, field := range entry {
		args = append(args, field.(string))
	}
	out, err := exec.Command("redis-benchmark", args...).Output()
	if err != nil {
		b.Fatalf("redis-benchmark: %v\n%s", err, out)
	}
	// The last line is "command","requests per second",...; the command holds quotes and commas of its own.
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	columns := strings.Split(lines[len(lines)-1], `","`)
	rps, err := strconv.ParseFloat(columns[len(columns)-7], 64)
	if err != nil {
		b.Fatalf("redis-benchmark: %v\n%s", err, out)
	}
	r.Do("DEL", "telemetry:benchmark")
	return rps
}

// cpuSeconds is the CPU time that a process has used, in user and system mode.
func cpuSeconds(b testing.TB, pid int) float64 {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.ParseFloat(fields[11], 64)
	system, _ := strconv.ParseFloat(fields[12], 64)
	const ticksPerSecond = 100 // USER_HZ, the same on every Linux
	return (user + system) / ticksPerSecond
}

func median(v []float64) float64 {
	slices.Sort(v)
	return v[len(v)/2]
}
