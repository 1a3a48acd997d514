package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// activated starts a server that is handed the sockets, as the service manager does it.
func activated(t testing.TB, settings map[string]string, names string, sockets ...*os.File) *server {
	t.Helper()
	cmd := program(t, settings, "serve")
	// port 1 is another one than the sockets'
	cmd.Env = append(cmd.Env, "TELTONIKA_PORT=1", "METRICS_PORT=0", "ADMIN_ADDRESS=127.0.0.1:0",
		fmt.Sprint("LISTEN_FDS=", len(sockets)), "LISTEN_FDNAMES="+names)
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, cmd.Args...)
	cmd.ExtraFiles = sockets
	return launch(t, cmd)
}

// TestRestartBehindSockets: while one process stops and the next one starts, connections wait in the service manager's
// sockets. Nobody is refused.
func TestRestartBehindSockets(t *testing.T) {
	t.Parallel()
	const restarts, each = 4, 4
	ca, store := newCertificateAuthority(t), redisStore(t)
	ca.renew(90)
	settings := ca.settings(store, "TLS_PORT", "0")
	plainSocket, plain := listeningSocket(t)
	tlsSocket, secure := listeningSocket(t)
	start := func() *server { return activated(t, settings, "devices:devices-tls", plainSocket, tlsSocket) }

	s := start()
	v := startVisitors(t, each, map[string]*tls.Config{plain: nil, secure: ca.trusting()})
	for range restarts {
		v.more(t, 100)
		if code := s.stop(syscall.SIGTERM, patience); code != 0 {
			t.Errorf("exit code %d", code)
		}
		s = start()
	}
	v.more(t, 100)
	v.settle(t, restarts)
	if n := v.refused.Load(); n > 0 {
		t.Errorf("%d visitors refused", n)
	}
	if n := v.cut.Load(); n > restarts*each*2 {
		t.Errorf("%d visits cut short, more than were there at the restarts", n)
	}
	s.awaitListening()
	if s.devices != plain || s.address("devices-tls") != secure {
		t.Errorf("listens on %s and %s", s.devices, s.address("devices-tls"))
	}
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestSocketsWithoutUse: a socket that would take connections for nobody is refused, with what to do.
func TestSocketsWithoutUse(t *testing.T) {
	t.Parallel()
	for names, text := range map[string]string{
		"devices:devices-tls": "devices-tls", // TLS_PORT is not set
		"devices:trackers":    "unknown name",
	} {
		first, _ := listeningSocket(t)
		second, _ := listeningSocket(t)
		s := activated(t, map[string]string{"DATA_DIR": t.TempDir()}, names, first, second)
		if !s.exitedWithin(patience) {
			t.Fatal("the server runs")
		}
		if code := s.cmd.ProcessState.ExitCode(); code != exitSettings || !strings.Contains(s.tail(5), text) {
			t.Errorf("%s: exit code %d: %s", names, code, s.tail(5))
		}
	}
}

// freeAddress is an address that nobody listens on at the moment.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestSystemdActivates: systemd's own tool listens, and starts the server when the first device comes.
func TestSystemdActivates(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("systemd-socket-activate")
	if err != nil {
		t.Fatal("this test runs systemd-socket-activate and there is none: apt-get install systemd")
	}
	ca, store := newCertificateAuthority(t), embeddedStore(t)
	ca.renew(90)
	plain, secure := freeAddress(t), freeAddress(t)
	cmd := program(t, ca.settings(store, "TLS_PORT", "0", "METRICS_PORT", "0", "ADMIN_ADDRESS", "127.0.0.1:0"), "serve")
	args := []string{tool, "--listen=" + plain, "--listen=" + secure, "--fdname=devices:devices-tls"}
	for _, variable := range cmd.Env {
		args = append(args, "--setenv="+variable)
	}
	cmd.Path, cmd.Args = tool, append(args, cmd.Args...)
	s := launch(t, cmd)

	var conn net.Conn
	testkit.Eventually(t, "somebody listens", func() bool {
		conn, err = net.DialTimeout("tcp", plain, time.Second)
		return err == nil
	})
	device := testkit.NewTracker(t, conn)
	device.Timeout = patience // for a process that is still to be started
	device.MustLogin("356307042441013")
	sendOne(device, recordTime)
	other := dialTLS(t, secure, ca.trusting())
	other.MustLogin("356307042441014")
	sendOne(other, recordTime)
	s.awaitListening()
	if code := s.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if n := len(store.payloads(t)); n != 2 {
		t.Errorf("%d records stored", n)
	}
}

// TestSocketUnits: systemd takes the units, and the service knows the names of their sockets.
func TestSocketUnits(t *testing.T) {
	t.Parallel()
	const folder = "../../deploy/systemd"
	units, err := filepath.Glob(folder + "/*.socket")
	if err != nil || len(units) == 0 {
		t.Fatal("no socket units", err)
	}
	service, err := os.ReadFile(folder + "/tcp-ingestion.service")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	copied := []string{filepath.Join(dir, "tcp-ingestion.service")}
	if err := os.WriteFile(copied[0],
		bytes.ReplaceAll(service, []byte("/usr/local/bin/tcp-ingestion"), []byte("/bin/true")), 0o644); err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)^FileDescriptorName=(.*)$`)
	for _, unit := range units {
		b, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		found := names.FindAllSubmatch(b, -1)
		if len(found) != 1 || !slices.Contains([]string{forDevices, forTLS, forUDP}, string(found[0][1])) {
			t.Errorf("%s: names %q", unit, found)
		}
		copied = append(copied, filepath.Join(dir, filepath.Base(unit)))
		if err := os.WriteFile(copied[len(copied)-1], b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, copied...)...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, ".socket:") {
			t.Error(line)
		}
	}
}

// TestSeveralSocketsOfOneName: each of them is served.
func TestSeveralSocketsOfOneName(t *testing.T) {
	t.Parallel()
	first, devices := listeningSocket(t)
	second, alsoDevices := listeningSocket(t)
	third, metrics := listeningSocket(t)
	fourth, alsoMetrics := listeningSocket(t)
	s := activated(t, embeddedStore(t).settings, "devices:devices:http:http", first, second, third, fourth)
	s.awaitListening()
	for _, address := range []string{devices, alsoDevices} {
		testkit.Dial(t, address).MustLogin("356307042441013")
	}
	for _, address := range []string{metrics, alsoMetrics} {
		s.http = address
		if status, _ := s.get("/healthz"); status != http.StatusOK {
			t.Errorf("/healthz at %s: %d", address, status)
		}
	}
}
