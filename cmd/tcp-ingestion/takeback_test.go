package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// running is a command of the program as a process that goes on.
type running struct {
	*exec.Cmd
	t      *testing.T
	out    bytes.Buffer
	told   testkit.Log // standard error
	exited chan struct{}
}

// begin starts `tcp-ingestion send` to the server.
func (s *server) begin(t *testing.T, args ...string) *running {
	t.Helper()
	return s.beginWith(t, nil, args...)
}

// beginWith is begin with a standard input.
func (s *server) beginWith(t *testing.T, in io.Reader, args ...string) *running {
	t.Helper()
	r := &running{Cmd: program(t, map[string]string{"ADMIN_ADDRESS": s.admin}, append([]string{"send"}, args...)...), t: t,
		exited: make(chan struct{})}
	r.Stdin, r.Stdout, r.Stderr = in, &r.out, &r.told
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.exited)
		_ = r.Wait() // its exit code says what there is to say
	}()
	t.Cleanup(func() {
		_ = r.Process.Kill()
		<-r.exited
	})
	return r
}

// wantTold waits until standard error has the text.
func (r *running) wantTold(text string) {
	r.t.Helper()
	testkit.EventuallyIn(r.t, "standard error has "+text, patience, func() bool { return r.told.Has(text) })
}

// wantExit waits for the end.
func (r *running) wantExit(code int) {
	r.t.Helper()
	testkit.EventuallyIn(r.t, "the end of send", patience, func() bool {
		select {
		case <-r.exited:
			return true
		default:
			return false
		}
	})
	if got := r.ProcessState.ExitCode(); got != code {
		r.t.Errorf("exit code %d, want %d: %s%s", got, code, r.out.String(), r.told.String())
	}
}

func (r *running) signal(sig syscall.Signal) {
	r.t.Helper()
	if err := r.Process.Signal(sig); err != nil {
		r.t.Fatal(err)
	}
}

// TestInterruptedSend: a command whose sender has gone away is not executed later.
func TestInterruptedSend(t *testing.T) {
	t.Parallel()
	s := startServer(t, embeddedStore(t).settings)
	for i, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		id := fmt.Sprint("door-", i)
		send := s.begin(t, first, "setdigout 1", "--confirm", "--id", id)
		send.wantTold(first + " is not connected; command " + id + " is queued: it is sent when the device connects, until ")
		send.signal(sig)
		send.wantExit(exitCancelled)
		if !send.told.Has(id+" is cancelled") || !send.told.Has("it was not sent") || send.out.Len() > 0 {
			t.Errorf("says %s%s", send.told.String(), send.out.String())
		}
	}
	d := s.connect(first)
	s.wantNothingMore(first, d)
}

// TestInterruptedTooLate: what was sent is not said to be taken back.
func TestInterruptedTooLate(t *testing.T) {
	t.Parallel()
	s := startServer(t, embeddedStore(t).settings)
	d := s.connect(first)
	send := s.begin(t, first, "getinfo", "--id", "late", "--json")
	asked := d.ExpectCommand("getinfo")
	send.signal(syscall.SIGINT)
	send.wantExit(exitNoResult)
	var e admin.Entry
	if err := json.Unmarshal(send.out.Bytes(), &e); err != nil || e.State != command.Sent || e.ID != "late" {
		t.Errorf("%v: %s", err, send.out.String())
	}
	if !send.told.Has("late is not queued any more") || !send.told.Has("its answer may still come") {
		t.Errorf("says %s", send.told.String())
	}
	d.Answer(asked, "RTC:1")
	code, out, errOut := execute(t, map[string]string{"ADMIN_ADDRESS": s.admin}, "",
		"send", first, "getinfo", "--id", "late")
	if code != 0 || out != "RTC:1\n" {
		t.Errorf("asked for again: exit code %d: %s%s", code, out, errOut)
	}
}

// TestInterruptedTwice: a server that does not answer keeps nobody, and nobody leaves without knowing what is live.
func TestInterruptedTwice(t *testing.T) {
	t.Parallel()
	s := startServer(t, embeddedStore(t).settings)
	send := s.begin(t, first, "getinfo", "--id", "stuck", "--json")
	send.wantTold("stuck is queued")
	testkit.Freeze(t, s.cmd.Process.Pid)
	defer s.cmd.Process.Signal(syscall.SIGCONT)
	send.signal(syscall.SIGINT)
	send.wantTold("taking command stuck back")
	send.signal(syscall.SIGINT)
	send.wantExit(exitNoResult)
	if !send.told.Has("stuck was not taken back and may be executed") || !send.told.Has("commands cancel stuck") ||
		!strings.Contains(send.out.String(), `"id":"stuck","exit_code":14`) {
		t.Errorf("says %s%s", send.told.String(), send.out.String())
	}
}

// TestServerGoneWhileSending: nobody can take it back, and it is said to be live.
func TestServerGoneWhileSending(t *testing.T) {
	t.Parallel()
	settings := embeddedStore(t).settings
	s := startServer(t, settings)
	send := s.begin(t, first, "getinfo", "--id", "orphan")
	send.wantTold("orphan is queued")
	s.kill()
	send.wantExit(exitNoServer)
	if !send.told.Has("orphan was not taken back and may be executed") {
		t.Errorf("says %s", send.told.String())
	}
}

// TestCommandsCommand lists, shows and takes back, at an instance that was asked for none of it.
func TestCommandsCommand(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	a, b := p.start("a"), p.start("b")
	a.order(first, asks("one", "getinfo"))
	p.order("commands:inbox", "two", second, "line\x1b[2Jend")
	d := a.connect(third)
	a.order(third, asks("three", "getver"))
	d.Answer(d.ExpectCommand("getver"), "Ver:\x1b[2J")
	a.result(third, "three", command.Answered)
	testkit.EventuallyIn(t, "two is taken", patience, func() bool {
		_, err := b.client().Command(t.Context(), second, "two", 0)
		return err == nil
	})
	run := func(want int, says []string, args ...string) string {
		t.Helper()
		code, out, errOut := execute(t, map[string]string{"ADMIN_ADDRESS": b.admin}, "",
			append([]string{"commands"}, args...)...)
		if code != want || strings.Contains(out+errOut, "\x1b") {
			t.Errorf("%q: exit code %d, want %d: %s%s", args, code, want, out, errOut)
		}
		for _, text := range says {
			if !strings.Contains(out+errOut, text) {
				t.Errorf("%q does not say %q: %s%s", args, text, out, errOut)
			}
		}
		return out
	}
	run(0, []string{"one", "two", "three", "queued, waits for device", "answered", `"getinfo"`}, "list")
	if out := run(0, []string{"one", "two"}, "list", "--open"); strings.Contains(out, "three") {
		t.Errorf("open is %s", out)
	}
	if out := run(0, []string{`"id":"three"`}, "list", third, "--json"); strings.Count(out, "\n") != 1 {
		t.Errorf("the commands of one device: %s", out)
	}
	run(0, []string{"one", first, "waits for", "device"}, "show", "one")
	run(0, []string{`"Ver:�[2J"`, "answer in hex", "answered"}, "show", "three")
	run(1, []string{"knows no command four"}, "show", "four")
	run(1, []string{`"error":`, `"exit_code":1`}, "cancel", "four", "--json")
	run(0, []string{"cancelled"}, "cancel", "two")
	run(1, []string{"three is answered", "not taken back"}, "cancel", "three")
	run(2, []string{"give one ID"}, "show")
	run(2, []string{"unknown command"}, "shwo")
	if e := a.result(second, "two", command.Cancelled); e.Attempts != 0 {
		t.Errorf("%+v", e)
	}
}

// TestCommandsForADeviceThatIsAway: there are so many and no more, which whoever sends more is told at once.
func TestCommandsForADeviceThatIsAway(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	for name, settings := range map[string]map[string]string{
		"embedded": embeddedStore(t).settings, "redis": p.settings("a"),
	} {
		s := startServer(t, settings)
		client, taken := s.client(), 0
		for i := range command.MaxOpenOfDevice + 5 {
			_, err := client.Submit(t.Context(), first, asks(fmt.Sprint("c", i), "getinfo"))
			var refused *admin.Problem
			switch {
			case err == nil:
				taken++
			case !errors.As(err, &refused) || refused.Status != 429 || refused.Reason != command.RefusedQueue:
				t.Fatalf("%s: %v", name, err)
			}
		}
		if taken != command.MaxOpenOfDevice {
			t.Errorf("%s: %d were taken", name, taken)
		}
		code, _, errOut := execute(t, map[string]string{"ADMIN_ADDRESS": s.admin}, "", "send", first, "getinfo")
		if code != exitTooMany || !strings.Contains(errOut, command.ReasonTooMany) {
			t.Errorf("%s: exit code %d: %s", name, code, errOut)
		}
	}
}

// TestCommandForADeviceByDatagrams is refused, until the device has connected.
func TestCommandForADeviceByDatagrams(t *testing.T) {
	t.Parallel()
	p := startPlatform(t)
	s := startServer(t, withUDP(t, p.settings("a")))
	exchangeDatagram(t, netip.MustParseAddrPort(s.address("devices-udp")), first)
	other := p.start("b") // hears of the device by what they share
	testkit.EventuallyIn(t, "the device is kept", patience, func() bool {
		return p.Do("EXISTS", "device:"+first+"/udp") == int64(1)
	})
	for _, at := range []*server{s, other} {
		code, _, errOut := execute(t, map[string]string{"ADMIN_ADDRESS": at.admin}, "", "send", first, "getinfo")
		if code != exitUnreachable || !strings.Contains(errOut, command.ReasonUnreachable) {
			t.Errorf("exit code %d: %s", code, errOut)
		}
	}
	p.order("commands:inbox", "udp", first, "getinfo")
	testkit.EventuallyIn(t, "the result of what came by Redis", patience, func() bool {
		results := p.responses()["udp"]
		return len(results) == 1 && results[0]["reason"] == command.ReasonUnreachable
	})
	d := s.connect(first)
	s.order(first, asks("reached", "getinfo"))
	d.Answer(d.ExpectCommand("getinfo"), "RTC:1")
	d.Close()
	s.result(first, "reached", command.Answered)
	s.order(first, asks("waits", "getinfo")) // it has been connected once
}
