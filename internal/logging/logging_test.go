package logging

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
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
		limit := usualLimits.usual.Burst
		for range limit + 7 {
			log.Warn("wrong crc")
		}
		log.Warn("another message")
		time.Sleep(time.Second)
		log.Warn("wrong crc")

		lines := decodeLines(t, out.Bytes())
		if len(lines) != limit+2 {
			t.Fatalf("%d lines, want %d", len(lines), limit+2)
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

// An audit log has a limit of its own, far above the others'.
func TestAudit(t *testing.T) {
	var b bytes.Buffer
	usualBurst, auditBurst := usualLimits.usual.Burst, auditLimits.usual.Burst
	usual := New(&b, slog.LevelInfo, true)
	audit := Audit(usual.With("instance", "a"))
	for range 2 * auditBurst {
		usual.Info("usual")
		audit.Info("audited")
	}
	lines := b.String()
	if n := strings.Count(lines, "msg=usual"); n < usualBurst || n > 10*usualBurst {
		t.Errorf("%d usual lines", n)
	}
	if n := strings.Count(lines, "msg=audited instance=a"); n < auditBurst || n == 2*auditBurst {
		t.Errorf("%d audit lines", n)
	}
	if plain := slog.New(slog.DiscardHandler); Audit(plain) != plain {
		t.Error("a logger without a limit was changed")
	}
}
