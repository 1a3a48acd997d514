package main

import (
	"io"
	"net/http"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// BenchmarkEndToEndTap compares a server at full speed while nobody looks with the same server while somebody sees all
// packets, while nobody reads what as many as possible have asked for, and while somebody looks for one device, in
// turns, on one Redis without an append-only file.
//
//	records/s            while nobody looks
//	reads, unread, one   records/s in the other cases as a share of that
//	cpu-reads and so on  the server's CPU for one record, likewise
func BenchmarkEndToEndTap(b *testing.B) {
	r := testkit.StartRedis(b)
	s := startServer(b, map[string]string{"REDIS_URL": r.URL(), "REDIS_STREAM_MAXLEN": "200000", "DATA_DIR": b.TempDir()})
	measure := func() (rate, cpu float64) {
		before := cpuSeconds(b, s.cmd.Process.Pid)
		full := runFleet(b, s, "--devices", "400", "--duration", "5s")
		return full.Rate, (cpuSeconds(b, s.cmd.Process.Pid) - before) / full.Records * 1e6
	}
	cases := []struct {
		name  string
		taps  int
		query string
		read  bool
	}{
		{"reads", 1, "explain=text", true},
		{"unread", tap.MaxTaps, "explain=both", false},
		{"one", 1, "imei=1", true},
	}
	for b.Loop() {
		var rates []float64
		rateRatio, cpuRatio := map[string][]float64{}, map[string][]float64{}
		for range rounds {
			plainRate, plainCPU := measure()
			rates = append(rates, plainRate)
			for _, c := range cases {
				end := openTaps(b, s, c.taps, c.query, c.read)
				rate, cpu := measure()
				end()
				rateRatio[c.name] = append(rateRatio[c.name], rate/plainRate)
				cpuRatio[c.name] = append(cpuRatio[c.name], cpu/plainCPU)
			}
		}
		b.ReportMetric(median(rates), "records/s")
		for _, c := range cases {
			b.ReportMetric(median(rateRatio[c.name]), c.name)
			b.ReportMetric(median(cpuRatio[c.name]), "cpu-"+c.name)
		}
		b.ReportMetric(0, "ns/op")
	}
}

// openTaps opens taps, which are read or not, and returns what ends them.
func openTaps(b *testing.B, s *server, n int, query string, read bool) (end func()) {
	b.Helper()
	var bodies []io.Closer
	for range n {
		response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(httpGet(b, "http://"+s.admin+"/v1/tap?"+query))
		if err != nil || response.StatusCode != 200 {
			b.Fatal(response, err)
		}
		bodies = append(bodies, response.Body)
		if read {
			go io.Copy(io.Discard, response.Body)
		}
	}
	return func() {
		for _, body := range bodies {
			body.Close()
		}
	}
}

func httpGet(b *testing.B, url string) *http.Request {
	b.Helper()
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	return request
}
