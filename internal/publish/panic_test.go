package publish

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestPanicOfALaneEndsTheProcess runs itself as a process of its own, in which a write panics. Going on without
// the lane would leave its devices waiting for ever.
func TestPanicOfALaneEndsTheProcess(t *testing.T) {
	const child = "PUBLISH_TEST_PANIC"
	if os.Getenv(child) != "" {
		e := testkit.NewEngine(1)
		e.Fail(func(*engine.Batch) error { panic("injected") })
		p := New(Options{Engine: e, Capacity: 255, Timeout: testTimeout, Metrics: NewMetrics(prometheus.NewRegistry()),
			Logger: logging.New(os.Stderr, slog.LevelInfo, false)})
		publish(p, "a", 1)
		os.Exit(0) // not reached
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("exit: %v\n%s", err, stderr.String())
	}
	var line struct{ Level, Msg, Panic, Stack string }
	if err := json.Unmarshal(stderr.Bytes(), &line); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if line.Level != "FATAL" || line.Panic != "injected" || !strings.Contains(line.Stack, "lane") {
		t.Errorf("logged %+v", line)
	}
}
