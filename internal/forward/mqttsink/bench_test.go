package mqttsink

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// BenchmarkDeliver publishes records of 600 bytes to Mosquitto, each acknowledged: of many devices in turn, and of one.
// Without nodelay Mosquitto's acknowledgements wait for the ones before to arrive.
func BenchmarkDeliver(b *testing.B) {
	for _, c := range []struct {
		devices int
		nodelay bool
	}{{500, true}, {500, false}, {1, true}} {
		b.Run(fmt.Sprintf("devices=%d/nodelay=%v", c.devices, c.nodelay), func(b *testing.B) {
			m := testkit.StartMosquitto(b, "log_dest none", fmt.Sprint("set_tcp_nodelay ", c.nodelay))
			s, err := New(Options{URL: "mqtt://" + m.Addr(), Version: Version5, ClientID: "forward", Topic: "{device_id}",
				InFlight: 100, Timeout: 10 * time.Second}, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			batch := records(0, 500)
			for i := range batch {
				batch[i].DeviceID = fmt.Sprint(i % c.devices)
				batch[i].Payload = []byte(strings.Repeat("x", 600))
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
