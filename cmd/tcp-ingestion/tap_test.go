package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// tapping is `tcp-ingestion tap` beside a server.
type tapping struct {
	t   *testing.T
	cmd *exec.Cmd

	mu   sync.Mutex
	text bytes.Buffer
}

func (p *tapping) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(b)
}

func (p *tapping) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// tap starts one and waits until the server has it.
func (s *server) tap(t *testing.T, args ...string) *tapping {
	t.Helper()
	p := &tapping{t: t, cmd: program(t, map[string]string{"ADMIN_ADDRESS": s.admin}, append([]string{"tap"}, args...)...)}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	before := s.metric("teltonika_taps_opened_total")
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	testkit.Eventually(t, "the tap is open", func() bool { return s.metric("teltonika_taps_opened_total") > before })
	return p
}

// await waits until the texts are shown.
func (p *tapping) await(texts ...string) {
	p.t.Helper()
	for _, text := range texts {
		testkit.Eventually(p.t, "tap shows "+text, func() bool { return strings.Contains(p.String(), text) })
	}
}

// exits waits for the end, and compares the exit code.
func (p *tapping) exits(want int) {
	p.t.Helper()
	p.cmd.Wait()
	if got := p.cmd.ProcessState.ExitCode(); got != want {
		p.t.Errorf("exit code %d, want %d: %s", got, want, p)
	}
}

// place is a record with a position.
func place() teltonika.Record {
	return teltonika.Record{Timestamp: uint64(time.Now().UnixMilli()), Longitude: 252560283, Latitude: 546674250,
		Satellites: 9}
}

// TestTap shows what a device and a stranger send while they do, and stops at Ctrl-C.
func TestTap(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir()})
	all, strangers := s.tap(t), s.tap(t, "--strangers")
	answers := s.tap(t, "--positions", "--outcome", "command_answer")
	d := testkit.Dial(t, s.devices)
	d.MustLogin(oneIMEI)
	all.await("in login "+oneIMEI+" 127.0.0.1:", "tcp: accepted, answered 01 after")
	frame := d.SendFrame(teltonika.Codec8E, place())
	d.ExpectACK(1)
	all.await("in frame "+oneIMEI, "tcp: stored, answered 00000001 after", "longitude = hidden",
		"answer: 00000001 (stored)")
	d.Send(frame)
	d.ExpectACK(1)
	all.await("tcp: duplicate")
	go func() { d.Answer(d.ReadCommand(), hostileAnswer) }()
	s.order(oneIMEI, asks("tapped", "getinfo"))
	all.await("out command "+oneIMEI, `payload = "getinfo"`, "tcp: command answer", "payload = hidden")
	testkit.Dial(t, s.devices).Send([]byte("GET / HTTP/1.1\r\n\x1b[2J\r\n\r\n"))
	if c, err := net.Dial("tcp", s.admin); err == nil { // a device on the wrong port
		c.Write(append([]byte{0, 15}, oneIMEI...))
		defer c.Close()
	}
	strangers.await("admin: malformed (on_http_port)", "a tracker on a port for HTTP")
	strangers.await("tcp: malformed (foreign_protocol)", "HTTP: a scanner")
	if strings.Contains(strangers.String(), "stored") {
		t.Errorf("a device's frame is shown among strangers: %s", strangers)
	}
	if strings.Contains(all.String(), "25.256") || strings.Contains(all.String(), "54.667") {
		t.Errorf("a position is shown: %s", all)
	}
	answers.await(`payload = "DOUT1:1 Timeout:0\rDOUT1:0`)
	wantHarmless(t, "tap", all.String()+strangers.String()+answers.String())
	all.cmd.Process.Signal(os.Interrupt)
	all.exits(0)
	s.wantLogged("tap opened")
	s.wantLogged("tap closed")
	s.stop(os.Interrupt, patience)
	strangers.exits(1)
	strangers.await("the server is stopping")
}

// TestTapAsJSON is for programs: one object a packet, as many as were asked for.
func TestTapAsJSON(t *testing.T) {
	t.Parallel()
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir(), "UDP_PORT": "0"})
	p := s.tap(t, "--json", "--positions", "--count", "2", "--imei", oneIMEI, "--outcome", "stored,command_answer")
	d := testkit.Dial(t, s.devices)
	d.MustLogin(oneIMEI)
	d.SendFrame(teltonika.Codec8E, place())
	d.ExpectACK(1)
	go func() { d.Answer(d.ReadCommand(), hostileAnswer) }()
	s.order(oneIMEI, asks("tapped", "getver"))
	p.exits(0)
	wantHarmless(t, "tap --json", p.String())
	lines := strings.Split(strings.TrimSpace(p.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), p)
	}
	for i, want := range []tap.Outcome{tap.Stored, tap.CommandAnswer} {
		var shown admin.TapPacket
		if err := json.Unmarshal([]byte(lines[i]), &shown); err != nil {
			t.Fatal(err)
		}
		_, decoded, _ := execute(t, nil, shown.Hex, "decode", "--json")
		if shown.Outcome != want || shown.IMEI != oneIMEI {
			t.Errorf("%s, want %s: %s", shown.Outcome, want, lines[i])
		}
		if want == tap.Stored && string(shown.Explained[0])+"\n" != decoded {
			t.Errorf("%s\nis not what decode says:\n%s", shown.Explained[0], decoded)
		}
	}
}

func TestTapRefusesWrongWords(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--imei", "not one"}, {"--address", "10.0.0.1:5027"}, {"--transport", "sctp"}, {"--outcome", "lost"},
		{"--for", "25h"}, {"--for", "0s"}, {"--count", "-1"},
	} {
		code, out, errOut := execute(t, nil, "", append([]string{"tap"}, args...)...)
		if code != 2 || !strings.Contains(errOut, args[0]) || out != "" {
			t.Errorf("tap %q: exit code %d: %s", args, code, errOut)
		}
	}
	code, _, errOut := execute(t, map[string]string{"ADMIN_ADDRESS": "127.0.0.1:1"}, "", "tap")
	if code != exitNoServer || !strings.Contains(errOut, "no good answer from http://127.0.0.1:1") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}
