//go:build linux

package testkit

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Mosquitto is an MQTT broker on a free loopback port, whose queues have no end. Its methods fail the test instead of
// returning errors.
type Mosquitto struct {
	tb     testing.TB
	dir    string
	port   int
	config string // path of its file
	run    *process
}

// StartMosquitto starts a broker. Settings are lines of its file, first those of its listener. It is killed when the
// test ends, also if it is frozen, and if the test's process dies.
func StartMosquitto(tb testing.TB, settings ...string) *Mosquitto {
	tb.Helper()
	m := &Mosquitto{tb: tb, dir: tb.TempDir(), port: freePorts(tb, 1)[0]}
	m.config = filepath.Join(m.dir, "mosquitto.conf")
	lines := append([]string{fmt.Sprintf("listener %d 127.0.0.1", m.port)}, settings...)
	lines = append(lines, "persistence true", "persistence_location "+m.dir+"/", "max_queued_messages 0",
		"max_inflight_messages 0", "queue_qos0_messages true", "autosave_interval 0", "log_type all")
	if os.Getuid() == 0 {
		lines = append(lines, "user root")
	}
	if !strings.Contains(strings.Join(settings, "\n"), "allow_anonymous") {
		lines = append(lines, "allow_anonymous true")
	}
	if err := os.WriteFile(m.config, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		tb.Fatal(err)
	}
	m.launch()
	tb.Cleanup(m.Kill)
	return m
}

func (m *Mosquitto) launch() {
	m.tb.Helper()
	var err error
	if m.run, err = startProcess(systemProgram("mosquitto"), "-c", m.config); err != nil {
		m.tb.Fatalf("these tests run mosquitto: make tools (%v)", err)
	}
	Succeeds(m.tb, "mosquitto listens", Timeout, func() error {
		conn, err := net.Dial("tcp", m.Addr())
		if err == nil {
			_ = conn.Close()
		}
		return err
	})
}

// systemProgram is a program that may be where only root looks for it.
func systemProgram(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return "/usr/sbin/" + name
}

// Addr is the broker's host and port.
func (m *Mosquitto) Addr() string { return fmt.Sprintf("127.0.0.1:%d", m.port) }

// Kill ends the broker at once, as kill -9 does, unless it is dead.
func (m *Mosquitto) Kill() {
	m.tb.Helper()
	if m.run != nil {
		m.run.kill(m.tb)
		m.run = nil
	}
}

// Restart starts it again on the same port and with the sessions that Save has left.
func (m *Mosquitto) Restart() {
	m.tb.Helper()
	m.Kill()
	m.launch()
}

// Freeze stops the broker's process: its sockets stay open and nothing answers.
func (m *Mosquitto) Freeze() { m.tb.Helper(); Freeze(m.tb, m.run.pid) }

// Thaw lets a frozen broker go on.
func (m *Mosquitto) Thaw() { m.tb.Helper(); m.run.signal(m.tb, syscall.SIGCONT) }

// Reload has the broker read its files again.
func (m *Mosquitto) Reload() { m.tb.Helper(); m.run.signal(m.tb, syscall.SIGHUP) }

// Save has the broker write its sessions, and what it holds for them, to disk.
func (m *Mosquitto) Save() {
	m.tb.Helper()
	const said = "Saving in-memory database"
	before := strings.Count(m.run.out.String(), said)
	m.run.signal(m.tb, syscall.SIGUSR1)
	file := filepath.Join(m.dir, "mosquitto.db")
	Eventually(m.tb, "mosquitto saves", func() bool {
		_, err := os.Stat(file)
		return err == nil && strings.Count(m.run.out.String(), said) > before
	})
}

// Subscriber is a mosquitto_sub with a session that stays.
type Subscriber struct {
	tb  testing.TB
	run *process
}

// Message is what a Subscriber got.
type Message struct{ Topic, Payload string }

// Subscribe starts a subscriber of everything, and waits until it is one. It comes back by itself. Arguments are
// mosquitto_sub's own. It acknowledges nothing: mosquitto_sub leaves unread what a killed broker has sent it if it
// cannot acknowledge it any more.
func (m *Mosquitto) Subscribe(client string, args ...string) *Subscriber {
	m.tb.Helper()
	args = append([]string{"-oL", "mosquitto_sub", "-h", "127.0.0.1", "-p", fmt.Sprint(m.port), "-i", client, "-c",
		"-q", "0", "-t", "#", "-F", "> %t %p", "-d"}, args...)
	run, err := startProcess("stdbuf", args...)
	if err != nil {
		m.tb.Fatalf("these tests run mosquitto_sub: make tools (%v)", err)
	}
	s := &Subscriber{tb: m.tb, run: run}
	m.tb.Cleanup(s.Kill)
	s.AwaitSubscriptions(1)
	return s
}

// AwaitSubscriptions waits until it has subscribed so often: once for each connection.
func (s *Subscriber) AwaitSubscriptions(count int) {
	s.tb.Helper()
	EventuallyIn(s.tb, "mosquitto_sub subscribes", 2*Timeout, func() bool {
		return strings.Count(s.run.out.String(), "Subscribed (mid: ") >= count
	})
}

// Kill ends the subscriber. Its session stays.
func (s *Subscriber) Kill() {
	s.tb.Helper()
	if s.run != nil {
		s.run.kill(s.tb)
		s.run = nil
	}
}

// Messages are those that it has got.
func (s *Subscriber) Messages() (all []Message) {
	text := s.run.out.String()
	text = text[:strings.LastIndexByte(text, '\n')+1]
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "> "); ok {
			topic, payload, _ := strings.Cut(rest, " ")
			all = append(all, Message{topic, payload})
		}
	}
	return all
}

// AddUser adds a user to a file of them for the setting password_file.
func AddUser(tb testing.TB, file, user, password string) {
	tb.Helper()
	args := []string{"-b", file, user, password}
	if _, err := os.Stat(file); err != nil {
		args = append([]string{"-c"}, args...)
	}
	cmd := exec.Command("mosquitto_passwd", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, time.Second
	if err := cmd.Run(); err != nil {
		tb.Fatalf("mosquitto_passwd: %v: %s", err, out.String())
	}
}
