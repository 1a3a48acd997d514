package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// TestHelpShowsTheDefaultsInForce: no flag has two defaults, and a command that stands others in shows them.
func TestHelpShowsTheDefaultsInForce(t *testing.T) {
	for _, name := range []string{
		"serve", "check", "check tls", "migrate", "redecode", "decode", "simulate", "tail",
		"deadletters list", "deadletters show", "deadletters replay",
		"deadletters delete", "send", "devices", "demo", "healthcheck", "version",
	} {
		_, out, _ := execute(t, nil, "", append(strings.Fields(name), "--help")...)
		for line := range strings.Lines(out) {
			if strings.Count(line, "(default") > 1 {
				t.Errorf("%s: two defaults in %q", name, line)
			}
		}
		for flag, want := range map[string]map[string]string{
			"demo": {"--data-dir": "a temporary folder", "--teltonika-port": "0", "--metrics-port": "0",
				"--admin-address": "127.0.0.1:0", "--log-level": "warn"},
			"tail": {"--log-level": "warn"}, "check": {"--log-level": "warn"},
			"deadletters list": {"--log-level": "warn"},
			"send":             {"--wait": "--timeout and 5s more"}, "serve": {"--log-level": "info"},
		}[name] {
			_, options, _ := strings.Cut(out, "OPTIONS:")
			_, line, found := strings.Cut(options, flag+" ")
			line, _, _ = strings.Cut(line, "\n")
			if !found || !strings.HasSuffix(line, "(default: "+want+")") {
				t.Errorf("%s %s has not the default %q: %s", name, flag, want, line)
			}
		}
	}
}

// TestWrongFilesAreNamedBySetting: whoever starts the service learns which settings name files that cannot be used,
// all of them.
func TestWrongFilesAreNamedBySetting(t *testing.T) {
	dir := t.TempDir()
	rubbish := filepath.Join(dir, "rubbish.pem")
	if err := os.WriteFile(rubbish, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	missing := func(name string) string { return filepath.Join(dir, name) }
	settings := map[string]string{
		"DATA_DIR": dir, "LOG_FORMAT": "text", "TLS_PORT": "0", "TLS_CERT_FILE": rubbish, "TLS_KEY_FILE": missing("key.pem"),
		"TLS_CLIENT_CA_FILE": missing("ca.pem"), "TLS_CLIENT_AUTH": "require", "COMMAND_POLICY": missing("policy"),
	}
	for _, args := range [][]string{{"check"}, {"serve"}} {
		code, _, errOut := execute(t, settings, "", args...)
		if code != 78 || strings.Count(errOut, "invalid settings") != 1 {
			t.Errorf("%v: exit code %d: %s", args, code, errOut)
		}
		for _, name := range []string{"TLS_CERT_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE", "COMMAND_POLICY"} {
			_, rest, found := strings.Cut(errOut, "\n  "+name+": ")
			text, _, _ := strings.Cut(rest, "\n")
			advised := name == "TLS_CERT_FILE" || strings.Contains(text, "set it to") // that one is there, and rubbish
			if !found || !strings.Contains(text, settings[name]) || !advised {
				t.Errorf("%v: %s is not named with its file and what to do: %s", args, name, errOut)
			}
		}
	}
}

// TestCheckPrintsNoLogLine: its text is for people, and its standard error for what is wrong.
func TestCheckPrintsNoLogLine(t *testing.T) {
	settings := map[string]string{"DATA_DIR": t.TempDir(), "LOG_LEVEL_FILE": "/dev/null/level"}
	code, out, errOut := execute(t, settings, "", "check")
	if code != 0 || errOut != "" || !strings.Contains(out, "warning:    LOG_LEVEL_FILE: ") {
		t.Errorf("exit code %d\n%s%s", code, out, errOut)
	}
	code, _, errOut = execute(t, map[string]string{"DATA_DIR": "/dev/null/x"}, "", "check")
	if code != 1 || !strings.Contains(errOut, "DATA_DIR /dev/null/x") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

// TestUsageErrorsSayWhatToUse has values that no flag takes.
func TestUsageErrorsSayWhatToUse(t *testing.T) {
	for args, want := range map[string]string{
		"tail --count x":                     `--count "x": use a whole number`,
		"tail --count 99999999999999999999":  `--count "99999999999999999999": is too large`,
		"simulate --rate fast":               `--rate "fast": use a number`,
		"simulate --seed -1":                 `--seed "-1": use a whole number of 0 or more`,
		"send --timeout 5 1 getver":          `--timeout "5": use a duration with its unit`,
		"send 35-6 getver":                   `IMEI "35-6": use an IMEI`,
		"send 356307042441013":               "1 argument:",
		"devices --imei 35/6":                "use an IMEI",
		"devices --nosuch":                   "unknown flag -nosuch",
		"help nosuch":                        "nosuch",
		"demo --devices 0":                   "devices: 0, expected 1",
		"deadletters list --reason checksum": "use malformed or timestamp or too_large or unknown_codec",
	} {
		code, _, errOut := execute(t, nil, "", strings.Fields(args)...)
		if code != 2 || !strings.Contains(errOut, want) || strings.Contains(errOut, "strconv") {
			t.Errorf("%s: exit code %d, want %q: %s", args, code, want, errOut)
		}
	}
}

// mute is the address of somebody who takes connections and never says anything.
func mute(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestTimeoutsSayWhoDoesNotAnswer: a bare "i/o timeout" says nothing.
func TestTimeoutsSayWhoDoesNotAnswer(t *testing.T) {
	t.Parallel()
	address := mute(t)
	redis := map[string]string{"REDIS_URL": "redis://" + address}
	list := map[string]string{
		"REDIS_URL": "redis://" + address, "ENGINE": "embedded", "DATA_DIR": t.TempDir(),
		"DEVICE_AUTHORITY_MODE": "redis_allow_list",
	}
	for _, c := range []struct {
		settings map[string]string
		args     string
		code     int
		says     string
	}{
		{redis, "check", 1, "redis at " + address + " does not answer in time"},
		{redis, "deadletters list", 1, "redis at " + address + " does not answer in time"},
		{list, "check", 1, "DEVICE_ALLOW_LIST: redis set devices:allowlist"},
		{nil, "healthcheck --timeout 100ms --url http://" + address, 1, "http://" + address + " does not answer in time"},
		{nil, "devices --admin-address " + address, exitNoServer, "http://" + address + ": no answer within 20s"},
		{nil, "send --wait 0 --admin-address " + address + " 356307042441013 getver", exitNoServer, "no answer within 20s"},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Parallel()
			code, _, errOut := execute(t, c.settings, "", strings.Fields(c.args)...)
			if code != c.code || !strings.Contains(errOut, c.says) {
				t.Errorf("exit code %d, want %q: %s", code, c.says, errOut)
			}
		})
	}
}

// TestTailOfAnEngineThatIsAway ends with an error, and soon. One that has nothing yet is waited for, not without a
// word.
func TestTailOfAnEngineThatIsAway(t *testing.T) {
	hangs, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer hangs.Close()
	for _, address := range []string{"127.0.0.1:1", hangs.Addr().String()} {
		began := time.Now()
		code, _, errOut := execute(t, map[string]string{"REDIS_URL": "redis://" + address}, "", "tail")
		if code != 1 || !strings.Contains(errOut, "engine redis cannot be reached") || time.Since(began) > patience/2 {
			t.Errorf("%s: exit code %d after %v: %s", address, code, time.Since(began), errOut)
		}
	}
	cmd := program(t, map[string]string{"REDIS_URL": testkit.StartRedis(t).URL()}, "tail")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	line, err := bufio.NewReader(stderr).ReadString('\n')
	if err != nil || !strings.Contains(line, "nothing is stored yet, engine redis") {
		t.Errorf("says %q, %v", line, err)
	}
}

// TestDemoIntoAClosedPipe: whoever looks at the first lines only leaves no folder behind.
func TestDemoIntoAClosedPipe(t *testing.T) {
	dir := t.TempDir()
	cmd := program(t, map[string]string{"TMPDIR": dir}, "demo", "--rate", "100")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Error(err)
	}
	out.Close()
	if cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("ended with %v", cmd.ProcessState)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestSendSaysWhatIsOdd: whoever sends a payload that is not plain learns why it needs confirmation.
func TestSendSaysWhatIsOdd(t *testing.T) {
	s := startServer(t, map[string]string{"DATA_DIR": t.TempDir()})
	for payload, want := range map[string]string{
		"setparam 0x7d4:a.example":  "plain decimal number",
		"getver,cpureset":           "confirm cpureset",
		"setparam 1000:5|2004:a":    "byte 16, 0x7c",
		"setparam\n2004:a.example":  "one line of printable ASCII",
		"getinfo\ttab":              "one line of printable ASCII",
		"setparam 1000:5;2004:a.ex": "confirm setparam 2004",
	} {
		code, out, errOut := execute(t, nil, "", "send", "--admin-address", s.admin, "--wait", "0", oneIMEI, payload)
		if code == 0 || out != "" || !strings.Contains(errOut, want) {
			t.Errorf("%q: exit code %d, want %q: %s%s", payload, code, want, out, errOut)
		}
	}
	code, out, errOut := execute(t, map[string]string{"ADMIN_ADDRESS": s.admin}, "", "send", "--wait", "0", "--hex",
		"--confirm", "--id", "a1", oneIMEI, fmt.Sprintf("%x", "setparam\n1000:5"))
	if code != 0 || out != "a1\n" {
		t.Errorf("meant and in hex: exit code %d: %s%s", code, out, errOut)
	}
	if e, err := s.client().Command(t.Context(), oneIMEI, "a1", 0); err != nil || e.Payload != "setparam\n1000:5" {
		t.Errorf("kept is %+v, %v", e, err)
	}
}
