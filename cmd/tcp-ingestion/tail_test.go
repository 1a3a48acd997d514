package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/format"
)

// TestTailSelectsAndFormats shows the records of one device, of a time, and as other platforms have them.
func TestTailSelectsAndFormats(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, store store) {
		s := startServer(t, store.settings)
		f := startFleet(t, s.devices, 5, nil)
		f.awaitProgress(t, 100)
		f.end(t)
		stored := store.payloads(t)
		var record struct {
			DeviceID   string    `json:"device_id"`
			ReceivedAt time.Time `json:"received_at"`
		}
		if err := json.Unmarshal([]byte(stored[len(stored)/2]), &record); err != nil {
			t.Fatal(err)
		}
		lines := func(args ...string) []string {
			t.Helper()
			code, out, errOut := execute(t, store.settings, "", append([]string{"tail", "--count", "3"}, args...)...)
			if code != 0 || errOut != "" {
				t.Fatalf("tail %q: exit code %d: %s", args, code, errOut)
			}
			return strings.Split(strings.TrimSpace(out), "\n")
		}
		one := lines("--from-start", "--imei", record.DeviceID)
		i := 0
		for _, payload := range stored {
			if i < 3 && strings.Contains(payload, `"device_id":"`+record.DeviceID+`"`) {
				if one[i] != payload {
					t.Errorf("record %d of the device is\n%s, want\n%s", i, one[i], payload)
				}
				i++
			}
		}
		since := lines("--since", record.ReceivedAt.Format(time.RFC3339Nano))
		for _, line := range since {
			var r struct {
				ReceivedAt time.Time `json:"received_at"`
			}
			if err := json.Unmarshal([]byte(line), &r); err != nil || r.ReceivedAt.Before(record.ReceivedAt) {
				t.Errorf("since %v: %s", record.ReceivedAt, line)
			}
		}
		if all := lines("--since", "24h"); all[0] != stored[0] {
			t.Errorf("since yesterday begins with %s, want %s", all[0], stored[0])
		}
		for _, name := range format.Names() {
			want, err := format.Named(name)([]byte(stored[0]))
			if err != nil {
				t.Fatal(err)
			}
			if got := lines("--from-start", "--format", name); got[0] != string(want) {
				t.Errorf("%s: %s, want %s", name, got[0], want)
			}
		}
	})
}

func TestTailRefusesWrongWords(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--format", "gpx"}, {"--since", "yesterday"}, {"--since", "-5m"}, {"--imei", "not one"},
		{"--messages", "--format", "flespi"}, {"--names", "--format", "flespi"}, {"--names", "--messages"},
	} {
		code, _, errOut := execute(t, map[string]string{"DATA_DIR": t.TempDir()}, "", append([]string{"tail"}, args...)...)
		if code != 2 || !strings.Contains(errOut, args[len(args)-2]) {
			t.Errorf("tail %q: exit code %d: %s", args, code, errOut)
		}
	}
}
