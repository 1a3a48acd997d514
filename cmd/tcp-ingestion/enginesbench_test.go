package main

import (
	"fmt"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// BenchmarkEngines has a fleet of 400 devices, ten records a frame, and a server on each of three engines that flush to
// the disk before they confirm, in turns on this machine; the median of each is reported.
//
//	records/s       acknowledged at full speed
//	server-µs       CPU of the server for one record
//	store-µs        CPU of the store's processes for one record; the embedded engine's is in the server's
//	p50-ms, p99-ms  from a frame sent to its ACK received, at half of PostgreSQL's full speed
func BenchmarkEngines(b *testing.B) {
	r := testkit.StartRedis(b, "--appendonly", "yes", "--appendfsync", "always")
	p := testkit.StartPostgres(b, "max_wal_size=4GB")
	stores := []*storeBench{
		{name: "postgres", cpu: func() float64 { return p.CPU().Seconds() },
			settings: map[string]string{"ENGINE": "postgres", "POSTGRES_URL": p.URL()}},
		{name: "embedded", cpu: func() float64 { return 0 }, settings: map[string]string{}},
		{name: "redis", cpu: func() float64 { return cpuSeconds(b, r.PID()) }, settings: map[string]string{
			"REDIS_URL": r.URL(), "REDIS_DURABILITY": "fsync", "REDIS_STREAM_MAXLEN": "200000"}},
	}
	for _, s := range stores {
		s.settings["DATA_DIR"] = b.TempDir()
		s.server = startServer(b, s.settings)
	}
	for b.Loop() {
		for range rounds {
			for _, s := range stores {
				s.full(b)
			}
			for _, s := range stores {
				s.half(b, stores[0].rate[len(stores[0].rate)-1]/2)
			}
		}
	}
	for _, s := range stores {
		b.ReportMetric(median(s.rate), s.name+"-records/s")
		b.ReportMetric(median(s.serverCPU), s.name+"-server-µs")
		b.ReportMetric(median(s.storeCPU), s.name+"-store-µs")
		b.ReportMetric(median(s.p50), s.name+"-p50-ms")
		b.ReportMetric(median(s.p99), s.name+"-p99-ms")
	}
	b.ReportMetric(0, "ns/op")
}

// storeBench is a server on an engine, and what was measured of both.
type storeBench struct {
	name     string
	settings map[string]string
	cpu      func() float64 // seconds of the store's processes
	server   *server

	rate, serverCPU, storeCPU, p50, p99 []float64
}

func (s *storeBench) full(b *testing.B) {
	b.Helper()
	server, store := cpuSeconds(b, s.server.cmd.Process.Pid), s.cpu()
	result := runFleet(b, s.server, "--devices", "400", "--duration", "5s")
	s.rate = append(s.rate, result.Rate)
	s.serverCPU = append(s.serverCPU, (cpuSeconds(b, s.server.cmd.Process.Pid)-server)/result.Records*1e6)
	s.storeCPU = append(s.storeCPU, (s.cpu()-store)/result.Records*1e6)
}

func (s *storeBench) half(b *testing.B, rate float64) {
	b.Helper()
	result := runFleet(b, s.server, "--devices", "400", "--duration", "5s", "--rate", fmt.Sprint(rate))
	s.p50, s.p99 = append(s.p50, result.Latency.P50), append(s.p99, result.Latency.P99)
}
