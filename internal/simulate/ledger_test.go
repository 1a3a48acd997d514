package simulate

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestHistogram compares quantiles with the exact ones, over all magnitudes.
func TestHistogram(t *testing.T) {
	for d := time.Microsecond; d < 48*time.Hour; d += 1 + d/7 {
		end := bucketEnd(bucketOf(d))
		if end <= d || end > d+d/32+1024 {
			t.Fatalf("%v is counted as up to %v", d, end)
		}
	}
	var a, b histogram
	for i := range 1000 {
		h := &a
		if i%2 == 0 {
			h = &b
		}
		h.add(time.Duration(i+1) * time.Millisecond)
	}
	a.add(-time.Second)    // a clock that was set back
	b.add(200 * time.Hour) // more than the range
	var merged counts
	merged.merge(&a)
	merged.merge(&b)
	for q, expected := range map[float64]float64{0.5: 0.501, 0.9: 0.901, 0.99: 0.991} {
		if got := merged.quantile(q).Seconds(); got < expected-0.002 || got > expected*33/32+0.001 {
			t.Errorf("quantile %v is %v s, expected %v", q, got, expected)
		}
	}
	if merged.total != 1002 || merged.max != 200*time.Hour || merged.quantile(1) != merged.max {
		t.Errorf("%d counted, at most %v", merged.total, merged.max)
	}
	if none := new(counts); none.quantile(0.5) != 0 {
		t.Error("nothing has a quantile above 0")
	}
}

func TestLedgerFormats(t *testing.T) {
	l := Ledger{
		Devices: 3, Seed: 4711, RecordsResent: 12,
		Connections: 4, RecordsSent: 1000, RecordsAcknowledged: 990, Active: 2 * time.Second,
		Latency: Latency{P50: 1500 * time.Microsecond}, LastFailure: "refused by a cat",
	}
	b, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	for name, expected := range map[string]any{
		"devices": 3.0, "seed": 4711.0,
		"connections": 4.0, "records_sent": 1000.0, "records_unacknowledged": 10.0, "ok": false,
		"active_seconds": 2.0, "records_per_second": 495.0, "last_failure": "refused by a cat",
	} {
		if got[name] != expected {
			t.Errorf("%s is %v, expected %v", name, got[name], expected)
		}
	}
	if p50 := got["latency_ms"].(map[string]any)["p50"]; p50 != 1.5 {
		t.Errorf("p50 is %v ms, expected 1.5", p50)
	}
	var text strings.Builder
	if err := l.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"1000 sent, 990 acknowledged", "10 unacknowledged", "495 records/s", "p50 1.5ms",
		"refused by a cat", "seed          4711", "what was sent again (12 records)"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("%q is not in\n%s", part, text.String())
		}
	}
}
