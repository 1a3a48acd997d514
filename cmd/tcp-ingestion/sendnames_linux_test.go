package main

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// openTerminal returns the two ends of a pseudo-terminal: whoever types, and what a program has as its terminal.
func openTerminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	var number int
	conn, err := keyboard.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { screen.Close() })
	return keyboard, screen
}

// at starts `send` at a terminal, and types the line when it is asked to.
func (s *server) at(t *testing.T, line string, args ...string) *running {
	t.Helper()
	keyboard, screen := openTerminal(t)
	r := s.beginWith(t, screen, args...)
	r.wantTold("type " + strings.TrimPrefix(args[1], "--") + " to send it: ")
	if _, err := keyboard.WriteString(line + "\n"); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestSendByName: what goes out depends on the device, is shown before it goes, and goes only if it is meant.
func TestSendByName(t *testing.T) {
	t.Parallel()
	own := writeFile(t, "commands", "siren  FMB640  setdigout ???1[ ? ? ? {seconds:1-60}]  wails\n")
	settings := maps.Clone(embeddedStore(t).settings)
	settings["COMMANDS_FILE"] = own
	s := startServer(t, settings)
	d := s.connect(first)
	send := func(args ...string) (code int, errOut string) {
		args = append([]string{"send", first}, args...)
		code, _, errOut = execute(t, map[string]string{"ADMIN_ADDRESS": s.admin}, "", args...)
		return code, errOut
	}
	if code, told := send("--immobilize", "--yes"); code != exitUsage || !strings.Contains(told, "--family is not known") {
		t.Errorf("a device that nothing is known of: exit code %d: %s", code, told)
	}
	s.order(first, asks("model", "getver"))
	d.Answer(d.ExpectCommand("getver"), "Ver:01.02.14_00 GPS:AXN Hw:FMB640 Mod:1 IMEI:"+first)
	s.result(first, "model", command.Answered)

	if code, told := send("--immobilize"); code != exitRefused || !strings.Contains(told, "say --yes") ||
		!strings.Contains(told, `(FMB640 fmx6) gets "setdigout 1???"`) || !strings.Contains(told, "may be driving") {
		t.Errorf("without a terminal: exit code %d: %s", code, told)
	}
	s.at(t, "yes", first, "--immobilize").wantExit(exitRefused)

	typed := s.at(t, "immobilize", first, "--immobilize", "--arg", "seconds=60")
	d.Answer(d.ExpectCommand("setdigout 1??? 60"), "DOUT1:1")
	typed.wantExit(exitOK)

	drives(d, 0, 0)
	meant := s.begin(t, first, "--name", "siren", "--yes", "--only-if", standing)
	d.Answer(d.ExpectCommand("setdigout ???1"), "DOUT4:1")
	meant.wantExit(exitOK)
	if meant.told.Has("may be driving") {
		t.Errorf("warns of what it has a condition for: %s", meant.told.String())
	}

	asked := s.begin(t, first, "--locate")
	d.Answer(d.ExpectCommand("getgps"), "GPS:1")
	asked.wantExit(exitOK)
	s.wantNothingMore(first, d)
	s.wantReloadedNames(t, own)
}

// wantReloadedNames has the file of names replaced by one with another name.
func (s *server) wantReloadedNames(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, []byte("horn  fmx6  setdigout ??1?\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	testkit.EventuallyIn(t, "the file is read again", patience, func() bool {
		_, out, _ := execute(t, map[string]string{"ADMIN_ADDRESS": s.admin}, "", "commands", "names", "--family", "fmx6")
		return strings.Contains(out, "horn") && !strings.Contains(out, "siren") && strings.Contains(out, "immobilize")
	})
}

// TestNamesAreGivenOnce has what makes no sense be said before anybody is asked.
func TestNamesAreGivenOnce(t *testing.T) {
	for _, args := range [][]string{{"--locate", "--info"}, {"--locate", "--name", "info"}, {"--locate", "getgps"},
		{"--arg", "seconds=1", "getgps"}, {"--family", "fmb", "getgps"}, {"--locate", "--hex"}, {}} {
		code, _, errOut := execute(t, nil, "", append([]string{"send", oneIMEI}, args...)...)
		if code != exitUsage {
			t.Errorf("%v: exit code %d: %s", args, code, errOut)
		}
	}
}
