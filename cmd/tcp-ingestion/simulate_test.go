package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// acknowledger accepts every login and acknowledges every frame, with so many records too few. With each ACK it sends a
// command, if it has one.
type acknowledger struct {
	address string
	frames  atomic.Int64
	answers atomic.Int64
	missing int
	command []byte
}

func startAcknowledger(t *testing.T, missing int) *acknowledger {
	t.Helper()
	a := &acknowledger{missing: missing}
	a.start(t, listenTCP(t))
	return a
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

func (a *acknowledger) start(t *testing.T, listener net.Listener) {
	a.address = listener.Addr().String()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				a.serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
	})
}

func (a *acknowledger) serve(conn net.Conn) {
	login := make([]byte, 17)
	if _, err := io.ReadFull(conn, login); err != nil {
		return
	}
	conn.Write(teltonika.AppendLoginAnswer(nil, true))
	for {
		frame := make(teltonika.Frame, teltonika.HeaderSize)
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		size, err := teltonika.ParseHeader(frame, 1<<16)
		if err != nil {
			return
		}
		frame = append(frame, make([]byte, size-len(frame))...)
		if _, err := io.ReadFull(conn, frame[teltonika.HeaderSize:]); err != nil {
			return
		}
		if frame.Codec().IsMessage() {
			a.answers.Add(1)
			continue
		}
		a.frames.Add(1)
		conn.Write(append(teltonika.AppendAck(nil, frame.Count()-a.missing), a.command...))
	}
}

func TestSimulate(t *testing.T) {
	a := startAcknowledger(t, 0)
	list := filepath.Join(t.TempDir(), "acknowledged")
	code, out, errOut := execute(t, nil, "", "simulate", "--address", a.address, "--devices=20", "--records=3000",
		"--records-per-frame=1-35", "--codec=8:1,8E:1,16:1", "--seed=5", "--imei-base=123456789012340", "--ledger", list,
		"--json")
	var ledger simulate.Ledger
	if err := json.Unmarshal([]byte(out), &ledger); err != nil {
		t.Fatalf("%v\n%s%s", err, out, errOut)
	}
	if code != 0 || ledger.RecordsAcknowledged != 3000 || ledger.FramesSent != a.frames.Load() ||
		ledger.Devices != 20 || ledger.Seed != 5 {
		t.Errorf("exit code %d, %d frames arrived\n%s%s", code, a.frames.Load(), out, errOut)
	}
	lines, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(lines, []byte("\n1234567890123")); n != 2999 { // all but the first line begin behind another
		t.Errorf("%d lines of acknowledged records, want 3000", n+1)
	}
}

// TestEachRunHasASeedOfItsOwn: nobody takes the records of a second run for lost because the first one sent them.
func TestEachRunHasASeedOfItsOwn(t *testing.T) {
	a := startAcknowledger(t, 0)
	seeds := make(map[string]bool)
	for range 3 {
		_, out, errOut := execute(t, nil, "", "simulate", "--address", a.address, "--devices=1", "--records=10")
		_, rest, found := strings.Cut(out, "\nseed ")
		if !found {
			t.Fatalf("no seed in\n%s%s", out, errOut)
		}
		seed, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
		seeds[seed] = true
	}
	if len(seeds) != 3 {
		t.Errorf("seeds of three runs: %v", seeds)
	}
}

// TestSimulateCommands has a server command every device after its one frame, and the fleet answer all twice.
func TestSimulateCommands(t *testing.T) {
	packet := teltonika.Messages{Codec: teltonika.Codec12, Messages: []teltonika.Message{
		{Type: teltonika.TypeCommand, Payload: []byte("getver")},
	}}
	command, err := packet.AppendFrame(nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &acknowledger{command: command}
	a.start(t, listenTCP(t))
	list := filepath.Join(t.TempDir(), "executed")
	cmd := program(t, nil, "simulate", "--address", a.address, "--devices=20", "--rate=20", "--records-per-frame=1",
		"--json", "--quiet",
		"--command-ledger", list, "--command-latency=1ms-2ms", "--command-twice=1")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	testkit.Eventually(t, "answers arrive", func() bool { return a.answers.Load() >= 40 })
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	var ledger simulate.Ledger
	if err := json.Unmarshal(out.Bytes(), &ledger); err != nil || ledger.CommandsAnswered < 20 ||
		ledger.AnswersCopied < 19 {
		t.Errorf("%v\n%s", err, out.String())
	}
	lines, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(lines, []byte(`"command":"getver","executed_at":"`)); int64(n) != ledger.CommandsReceived {
		t.Errorf("%d commands executed, %d received", n, ledger.CommandsReceived)
	}
}

func TestSimulateExitCodes(t *testing.T) {
	good, bad := startAcknowledger(t, 0), startAcknowledger(t, 1)
	for _, c := range []struct {
		name string
		args []string
		code int
		says []string
	}{
		{"all acknowledged", []string{"--address", good.address, "--devices=3", "--records=50"}, 0,
			[]string{"50 sent, 50 acknowledged"}},
		{"progress", []string{"--address", good.address, "--duration=3s", "--rate=100"}, 0,
			[]string{"s  connected 100  records sent "}},
		{"wrong ACKs", []string{"--address", bad.address, "--devices=1", "--seed=1", "--duration=1s", "--retry=1m",
			"--drain=0s"}, 1, []string{"wrong answers 1", "not everything"}},
		{"nobody there", []string{"--address=127.0.0.1:1", "--duration=1s"}, 1,
			[]string{"nothing was sent", "connection refused"}},
		{"wrong flag", []string{"--device=1"}, 2, []string{"device", "--help"}},
		{"wrong values", []string{
			"--address=x", "--devices=0", "--rate=-1", "--records-per-frame=0-256", "--codec=8:0", "--order=x", "--lose-ack=2",
			"--burst=1",
			"--imei-base=1", "--source-addresses=255", "--response-timeout=0", "--keepalive=-1s",
			"--command-silence=2", "--command-late-by=-1s", "--command-carry=-1", "--messages=-1",
		}, 2, []string{
			"address:", "devices:", "rate:", "records-per-frame:", "codec:", "order:", "lose-ack:", "burst:",
			"imei-base:", "source-addresses:", "response-timeout:", "keepalive:",
			"command-silence:", "command-late-by:", "command-carry:", "messages:",
		}},
		{"unreadable values", []string{"--records-per-frame=x", "--codec=9", "--devices=0", "--command-latency=x"}, 2,
			[]string{"records-per-frame:", "codec:", "devices:", "command-latency:"}},
		{"ledger in no directory", []string{"--ledger=/dev/null/file"}, 2,
			[]string{"ledger: ", "/dev/null/file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, out, errOut := execute(t, nil, "", append([]string{"simulate"}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.code, out, errOut)
			}
			for _, text := range c.says {
				if !strings.Contains(out+errOut, text) {
					t.Errorf("does not say %q:\n%s%s", text, out, errOut)
				}
			}
		})
	}
}

// TestSimulateSignal ends an endless run: it finishes what it has sent and prints the ledger.
func TestSimulateSignal(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		a := startAcknowledger(t, 0)
		cmd := program(t, nil, "simulate", "--address", a.address, "--quiet", "--json")
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill() })
		testkit.Eventually(t, "frames arrive", func() bool { return a.frames.Load() > 500 })
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v\n%s", sig, err, out.String())
		}
		var ledger simulate.Ledger
		if err := json.Unmarshal(out.Bytes(), &ledger); err != nil || ledger.FramesAcknowledged != a.frames.Load() {
			t.Errorf("%v: %d frames arrived, ledger (%v):\n%s", sig, a.frames.Load(), err, out.String())
		}
	}
}

// TestSimulateOnASmallMachine: what the machine does not allow is said before the first connection, with what to do.
func TestSimulateOnASmallMachine(t *testing.T) {
	code, out, errOut := execute(t, map[string]string{descriptorsVar: "100"}, "", "simulate", "--address", "127.0.0.1:1",
		"--devices", "200", "--source-addresses", "203.0.113.7")
	for _, says := range []string{"232 file descriptors", "may have 100", "ulimit -n 232",
		"nothing can be sent from 203.0.113.7"} {
		if code != 1 || !strings.Contains(errOut, says) {
			t.Errorf("exit code %d, want 1 and %q:\n%s%s", code, says, out, errOut)
		}
	}
}
