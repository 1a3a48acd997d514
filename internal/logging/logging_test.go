package logging

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func decodeLines(t *testing.T, b []byte) []map[string]any {
	t.Helper()
	var lines []map[string]any
	for dec := json.NewDecoder(bytes.NewReader(b)); dec.More(); {
		var m map[string]any
		if err := dec.Decode(&m); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, m)
	}
	return lines
}

func TestRepeatedLinesAreSuppressedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		log := New(&out, slog.LevelInfo, false).With("instance", "a")
		for range linesPerSecond + 7 {
			log.Warn("wrong crc")
		}
		log.Warn("another message")
		time.Sleep(time.Second)
		log.Warn("wrong crc")

		lines := decodeLines(t, out.Bytes())
		if len(lines) != linesPerSecond+2 {
			t.Fatalf("%d lines, want %d", len(lines), linesPerSecond+2)
		}
		if last := lines[len(lines)-1]; last["suppressed"] != 7.0 || last["instance"] != "a" {
			t.Errorf("last line %v, want 7 suppressed", last)
		}
	})
}

func TestFatalHasItsName(t *testing.T) {
	var out bytes.Buffer
	New(&out, slog.LevelInfo, false).Log(t.Context(), LevelFatal, "broken")
	if line := decodeLines(t, out.Bytes())[0]; line["level"] != "FATAL" {
		t.Errorf("level %v", line["level"])
	}
}

func TestDurationsAreForPeople(t *testing.T) {
	var out bytes.Buffer
	New(&out, slog.LevelInfo, false).Info("stopped", "took", 90*time.Second)
	if line := decodeLines(t, out.Bytes())[0]; line["took"] != "1m30s" {
		t.Errorf("took %v", line["took"])
	}
}
