package httpsink

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/secret"
)

// BenchmarkDeliver sends batches of 500 records of 600 bytes to a server that reads and accepts them.
func BenchmarkDeliver(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	}))
	defer server.Close()
	for _, zip := range []bool{false, true} {
		b.Run(fmt.Sprint("gzip=", zip), func(b *testing.B) {
			s, err := New(Options{URL: server.URL, Gzip: zip, Timeout: time.Minute, Key: secret.Text{Value: "key"}}, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			batch := records(0, 500)
			for i := range batch {
				batch[i].Payload = fmt.Appendf(nil, `{"id":"%06d","attributes":{%s"9":0}}`, i, strings.Repeat(`"1234":56,`, 55))
			}
			for b.Loop() {
				if err := s.Deliver(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "records/s")
		})
	}
}
