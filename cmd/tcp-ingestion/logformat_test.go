package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// openScreen is a terminal for a program, and what the program has shown on it.
func openScreen(t *testing.T) (terminal *os.File, shown *testkit.Log) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		terminal, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	shown = &testkit.Log{}
	go func() {
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			shown.Write(b[:n])
			if err != nil {
				return
			}
		}
	}()
	return terminal, shown
}

// TestLogOnATerminal is text with colours, for whoever wants them, and JSON if that is asked for.
func TestLogOnATerminal(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings map[string]string
		colours  bool
		json     bool
	}{
		"nothing set": {nil, true, false},
		"no colours":  {map[string]string{"NO_COLOR": "1"}, false, false},
		"dumb":        {map[string]string{"TERM": "dumb"}, false, false},
		"text":        {map[string]string{"LOG_FORMAT": "text"}, true, false},
		"json":        {map[string]string{"LOG_FORMAT": "json"}, false, true},
	} {
		settings := map[string]string{"DATA_DIR": t.TempDir(), "TELTONIKA_PORT": "0", "METRICS_PORT": "0",
			"ADMIN_ADDRESS": "off"}
		for k, v := range c.settings {
			settings[k] = v
		}
		terminal, shown := openScreen(t)
		cmd := program(t, settings, "serve")
		cmd.Stderr = terminal
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		testkit.EventuallyIn(t, name+": the log on the terminal", patience, func() bool { return shown.Has("listening") })
		cmd.Process.Kill()
		cmd.Wait()
		text := shown.String()
		if strings.Contains(text, "\x1b[36mlevel=INFO\x1b[0m") != c.colours || strings.Contains(text, "\x1b") != c.colours ||
			strings.Contains(text, `"level":"INFO"`) != c.json {
			t.Errorf("%s: %q", name, text)
		}
	}
}

// TestNotStartedIsInTheLog: what keeps the service from starting is a line of its log.
func TestNotStartedIsInTheLog(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{
		"": `"level":"FATAL","msg":"not started","error":"`, "json": `"exit_code":78}`, "text": "tcp-ingestion: invalid",
	} {
		code, _, errOut := execute(t, map[string]string{"LOG_FORMAT": format, "TELTONIKA_PORT": "x"}, "", "serve")
		if code != exitSettings || !strings.Contains(errOut, want) || !strings.Contains(errOut, "TELTONIKA_PORT") ||
			format != "text" && strings.Count(errOut, "\n") != 1 {
			t.Errorf("LOG_FORMAT %q: exit code %d: %s", format, code, errOut)
		}
	}
}
