package examples

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

var programDir string

// program is the service's binary, built once.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programDir, "tcp-ingestion")
	out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "../cmd/tcp-ingestion").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	var err error
	if programDir, err = os.MkdirTemp("", "examples"); err != nil {
		panic(err)
	}
	// The examples' tests wait for leases more than they compute.
	flag.Parse()
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(programDir)
	os.Exit(code)
}

// ingestion is a command of the service, with no settings but those given.
func ingestion(t *testing.T, settings []string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(settings, "TMPDIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// service is a running server.
type service struct {
	t        *testing.T
	settings []string
	devices  string // address
	admin    string // address of the API
}

// serve starts a server and waits until devices can connect.
func serve(t *testing.T, settings ...string) *service {
	t.Helper()
	s := &service{t: t, settings: settings}
	cmd := ingestion(t, append(settings, "TELTONIKA_PORT=0", "METRICS_PORT=0", "BIND_ADDRESS=127.0.0.1",
		"ADMIN_ADDRESS=127.0.0.1:0"), "serve")
	var log text
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(regexp.MustCompile(`(?m)^.*"INFO".*\n`).ReplaceAllString(log.String(), ""))
		}
	})
	testkit.Eventually(t, "the service listens", func() bool {
		for line := range strings.Lines(log.String()) {
			var said struct{ Msg, For, Address string }
			if json.Unmarshal([]byte(line), &said) != nil || said.Msg != "listening" {
				continue
			}
			switch said.For {
			case "devices":
				s.devices = said.Address
			case "admin":
				s.admin = said.Address
			}
		}
		return s.devices != "" && s.admin != ""
	})
	return s
}

// fleet sends records until it is told to stop, and says how many were acknowledged.
func (s *service) fleet(args ...string) (stop func() int) {
	s.t.Helper()
	ledger := filepath.Join(s.t.TempDir(), "ledger")
	args = append([]string{"simulate", "--address", s.devices, "--ledger", ledger, "--quiet"}, args...)
	cmd := ingestion(s.t, nil, args...)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return func() int {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			s.t.Errorf("simulate: %v", err)
		}
		ids, err := os.ReadFile(ledger)
		if err != nil {
			s.t.Fatal(err)
		}
		return strings.Count(string(ids), "\n")
	}
}

// record is what the tests look at of one.
type record struct {
	ID     string `json:"id"`
	Device string `json:"device_id"`
}

// records reads lines of JSON.
func records(t *testing.T, lines []string) (all []record) {
	t.Helper()
	for _, line := range lines {
		var r record
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.ID == "" || r.Device == "" {
			t.Fatalf("no record: %q, %v", line, err)
		}
		all = append(all, r)
	}
	return all
}

// byDevice are the ids of each device's records, in their order.
func byDevice(all []record) map[string][]string {
	devices := make(map[string][]string)
	for _, r := range all {
		devices[r.Device] = append(devices[r.Device], r.ID)
	}
	return devices
}
