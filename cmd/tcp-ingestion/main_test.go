package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/signals"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// reexec makes the test binary run as tcp-ingestion itself, so that tests have real processes to kill.
const reexec = "TCP_INGESTION_TEST_REEXEC"

func TestMain(m *testing.M) {
	if os.Getenv(reexec) != "" {
		signalItself()
		limitDescriptors(os.Getenv(descriptorsVar))
		os.Exit(run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	if store := os.Getenv(bareVar); store != "" {
		serveBare(store)
	}
	signals.Leave() // Ctrl-C ends the tests
	goleak.VerifyTestMain(testkit.AfterDials(m))
}

// descriptorsVar is how many file descriptors the re-run program may have, as a number.
const descriptorsVar = "TCP_INGESTION_TEST_NOFILE"

func limitDescriptors(n string) {
	if n == "" {
		return
	}
	limit, err := strconv.ParseUint(n, 10, 64)
	if err == nil {
		err = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: limit, Max: limit})
	}
	if err != nil {
		panic(err)
	}
}

// patience is how long a test waits for what must come, on the busiest machine.
const patience = time.Minute

// readySoon is twice the time within which /readyz follows what has happened.
const readySoon = 20 * time.Second

// program is tcp-ingestion as a process of its own, with no settings but those given.
func program(t testing.TB, settings map[string]string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = []string{reexec + "=1", "GORACE=atexit_sleep_ms=0"}
	for _, name := range []string{"PATH", "TMPDIR"} {
		cmd.Env = append(cmd.Env, name+"="+os.Getenv(name))
	}
	for name, value := range settings {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// server is a running `tcp-ingestion serve`.
type server struct {
	t       testing.TB
	cmd     *exec.Cmd
	devices string // address
	http    string // address
	admin   string // address, if any
	pprof   string // address, if any
	exited  chan struct{}

	listening chan struct{} // closed when devices can connect
	raced     atomic.Bool   // the race detector has found something in it

	mu  sync.Mutex
	log []string
}

// startServer starts a server and waits until it listens. Ports are free ones unless the settings say otherwise.
func startServer(t testing.TB, settings map[string]string) *server {
	t.Helper()
	s := launchServer(t, settings)
	s.awaitListening()
	return s
}

// launchServer starts a server that may take its time to listen.
func launchServer(t testing.TB, settings map[string]string) *server {
	t.Helper()
	all := map[string]string{"TELTONIKA_PORT": fmt.Sprint(testkit.FreePort(t)), "METRICS_PORT": "0",
		"ADMIN_ADDRESS": "127.0.0.1:0", "BIND_ADDRESS": "127.0.0.1"}
	for name, value := range settings {
		all[name] = value
	}
	return launch(t, program(t, all, "serve"))
}

// launch starts a server by the command.
func launch(t testing.TB, cmd *exec.Cmd) *server {
	t.Helper()
	s := &server{t: t, cmd: cmd, exited: make(chan struct{}), listening: make(chan struct{})}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.follow(stderr)
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.exited
		if s.raced.Load() { // a server that is killed cannot say so by its exit code
			t.Errorf("data race in the server:\n%s", s.tail(len(s.log)))
		} else if t.Failed() {
			t.Logf("server's log:\n%s", s.tail(60))
		}
	})
	return s
}

// awaitListening waits until devices can connect.
func (s *server) awaitListening() {
	s.t.Helper()
	select {
	case <-s.listening:
	case <-s.exited:
		s.t.Fatalf("server exited: %v\n%s", s.cmd.ProcessState, s.tail(20))
	case <-time.After(patience):
		s.t.Fatalf("server does not listen\n%s", s.tail(20))
	}
}

// follow reads the log, learns the addresses from it, and reaps the process at its end.
func (s *server) follow(stderr io.Reader) {
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		var line struct{ Msg, For, Address string }
		json.Unmarshal(lines.Bytes(), &line)
		if strings.Contains(lines.Text(), "WARNING: DATA RACE") {
			s.raced.Store(true)
		}
		s.mu.Lock()
		s.log = append(s.log, lines.Text())
		switch {
		case line.Msg != "listening":
		case line.For == "http":
			s.http = "127.0.0.1" + line.Address[strings.LastIndex(line.Address, ":"):]
		case line.For == "admin":
			s.admin = line.Address
		case line.For == "pprof":
			s.pprof = line.Address
		case line.For == "devices" && s.devices == "":
			s.devices = line.Address
			close(s.listening)
		}
		s.mu.Unlock()
	}
	s.cmd.Wait()
	close(s.exited)
}

func (s *server) tail(n int) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.log[max(0, len(s.log)-n):], "\n")
}

// settings are those that make a restarted server take the place of this one.
func (s *server) kill() {
	s.t.Helper()
	s.cmd.Process.Kill()
	<-s.exited
}

// stop sends a signal and returns the exit code.
func (s *server) stop(sig os.Signal, within time.Duration) int {
	s.t.Helper()
	s.cmd.Process.Signal(sig)
	select {
	case <-s.exited:
	case <-time.After(within):
		s.t.Fatalf("server runs %v after %v\n%s", within, sig, s.tail(20))
	}
	return s.cmd.ProcessState.ExitCode()
}

// get asks over HTTP.
func (s *server) get(path string) (status int, body string) {
	s.t.Helper()
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get("http://" + s.http + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(b)
}

// execute runs a command to its end.
func execute(t testing.TB, settings map[string]string, stdin string, args ...string) (code int, out, errOut string) {
	t.Helper()
	cmd := program(t, settings, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	_ = cmd.Wait() // its exit code says what there is to say
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// logged reports whether a line with the message has been logged.
func (s *server) logged(message string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, line := range s.log {
		if strings.Contains(line, `"msg":"`+message+`"`) {
			return true
		}
	}
	return false
}

// wantLogged fails if the message is not logged soon. What is logged reaches the test a moment after it has shown
// elsewhere.
func (s *server) wantLogged(message string) {
	s.t.Helper()
	testkit.Eventually(s.t, "logged: "+message, func() bool { return s.logged(message) })
}

// wantMetric fails if the metric does not come to be so. Metrics of what has ended follow it a moment later.
func (s *server) wantMetric(name string, want float64) {
	s.t.Helper()
	var is float64
	testkit.Succeeds(s.t, name, patience, func() error {
		if is = s.metric(name); is != want {
			return fmt.Errorf("%v, want %v", is, want)
		}
		return nil
	})
}

// wantLines fails if the log does not come to have so many lines with the message, and returns them.
func (s *server) wantLines(message string, n int) (lines []map[string]any) {
	s.t.Helper()
	testkit.Eventually(s.t, fmt.Sprintf("%d lines logged: %s", n, message), func() bool {
		lines = s.lines(message)
		return len(lines) == n
	})
	return lines
}
