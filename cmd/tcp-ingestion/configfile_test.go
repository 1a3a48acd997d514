package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

// TestServeWithAFile: the real process takes its settings from a file and a secret from another, a variable wins over
// the file, and who asks it by the same file gets in.
func TestServeWithAFile(t *testing.T) {
	t.Parallel()
	token := writeFile(t, "token", "hunter2hunter2hunter2\n")
	file := writeFile(t, "settings.yaml", "DATA_DIR: "+t.TempDir()+"\nADMIN_TOKEN_FILE: "+token+
		"\nUDP_PORT: 0\nINSTANCE_ID: from-the-file\nLOG_LEVEL: debug\n")
	s := startServer(t, map[string]string{"CONFIG_FILE": file, "LOG_LEVEL": "info"})
	if s.address("devices-udp") == "" || !s.logged("starting") {
		t.Error("UDP_PORT of the file is not in force")
	}
	s.mu.Lock()
	log := strings.Join(s.log, "\n")
	s.mu.Unlock()
	if !strings.Contains(log, `"instance":"from-the-file"`) || strings.Contains(log, `"level":"debug"`) ||
		strings.Contains(log, "hunter2") {
		t.Error(log)
	}
	for want, args := range map[int][]string{
		0: {"devices", "--config", file, "--admin-address", s.address("admin")},
		1: {"devices", "--admin-address", s.address("admin")},
	} {
		if code, out, errOut := execute(t, nil, "", args...); code != want {
			t.Errorf("%v: exit code %d, want %d: %s%s", args, code, want, out, errOut)
		}
	}
}

// TestWrongFileOfSettings: serve, check and a command beside them say the same of it, and start nothing. In JSON it is
// a line of the log.
func TestWrongFileOfSettings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := writeFile(t, "settings.yaml", "LOG_FORMAT: text\nDATA_DIR: "+dir+
		"/data\nREDIS_ULR: redis://u:hunter2@h\nTLS_PORT: [1]\n")
	want := "invalid settings:\n" +
		"  REDIS_ULR (" + file + ":3): is no setting (did you mean REDIS_URL?); config example prints them all\n" +
		"  TLS_PORT (" + file + ":4): is a list; use one value\n" +
		"  UDP_PORT (environment): \"x\": use a whole number from 0 to 65535, or off\n"
	for _, verb := range []string{"serve", "check", "healthcheck", "tail"} {
		code, out, errOut := execute(t, map[string]string{"UDP_PORT": "x"}, "", verb, "--config", file)
		if code != exitSettings || out+errOut != "tcp-ingestion: "+want {
			t.Errorf("%s: exit code %d: %s%s", verb, code, out, errOut)
		}
	}
	if _, err := os.Stat(dir + "/data"); err == nil {
		t.Error("something has been started")
	}
	_, _, errOut := execute(t, map[string]string{"UDP_PORT": "x", "LOG_FORMAT": "json"}, "", "serve", "--config", file)
	if !strings.HasPrefix(errOut, "{") || !strings.Contains(errOut, "did you mean REDIS_URL?") {
		t.Error(errOut)
	}
}

// TestConfigCommands: the example, all of it in force, is a file that check takes; show says where settings stand.
func TestConfigCommands(t *testing.T) {
	code, example, errOut := execute(t, nil, "", "config", "example")
	if code != 0 || errOut != "" {
		t.Fatalf("exit code %d: %s", code, errOut)
	}
	file := writeFile(t, "settings.yaml", regexp.MustCompile(`(?m)^#([A-Z])`).ReplaceAllString(example, "$1"))
	wantRun(t, nil, 0, []string{"settings:   valid"}, "check", "--config", file, "--data-dir", t.TempDir())
	wantRun(t, map[string]string{"CONFIG_FILE": file, "UDP_PORT": "5"}, 0,
		[]string{"\nUDP_PORT: 5  # environment\n", "\nIDLE_TIMEOUT: 6m  # --idle-timeout\n",
			"\nMETRICS_PORT: 9090  # " + file + ":"},
		"config", "show", "--idle-timeout", "6m")
	wantRun(t, map[string]string{"UDP_PORT": "x"}, 78, []string{"UDP_PORT (environment)"}, "config", "show")
	wantRun(t, nil, 2, []string{"did you mean example?"}, "config", "exmple")
	wantRun(t, nil, 2, []string{"unexpected argument"}, "config", "show", "LOG_LEVEL")
}

// TestEveryCommandWithSettingsTakesAFile, and with a secret its file.
func TestEveryCommandWithSettingsTakesAFile(t *testing.T) {
	found := 0
	var look func(c *cli.Command)
	look = func(c *cli.Command) {
		names := flagNames(c)
		for _, s := range config.Settings {
			isSetting := func(f cli.Flag) bool { return strings.Contains(f.String(), "[$"+s.Name+"]") }
			if !slices.ContainsFunc(c.VisibleFlags(), isSetting) {
				continue
			}
			found++
			if !slices.Contains(names, "config") {
				t.Errorf("%s has --%s and not --config", c.Name, s.Flag())
			}
			if file := (&config.Setting{Name: s.File()}).Flag(); s.Secret && !slices.Contains(names, file) {
				t.Errorf("%s has --%s and not --%s", c.Name, s.Flag(), file)
			}
		}
		for _, sub := range c.Commands {
			look(sub)
		}
	}
	look(rootCommand())
	if found < 2*len(config.Settings) {
		t.Errorf("%d flags of settings found", found)
	}
}

// TestDecodeWithAFile: decode needs one setting of the file, whatever the others are.
func TestDecodeWithAFile(t *testing.T) {
	overrides := writeFile(t, "overrides", "nonsense\n")
	file := writeFile(t, "settings.yaml", "DICTIONARY_OVERRIDES: "+overrides+"\nUDP_PORT: x\n")
	wantHere := func(code int, says, file string) {
		t.Helper()
		got, out, errOut := runHere(t, "", "decode", "--config", file, "000f333536333037303432343431303133")
		if got != code || !strings.Contains(out+errOut, says) {
			t.Errorf("exit code %d, want %d: %s%s", got, code, out, errOut)
		}
	}
	wantHere(78, "DICTIONARY_OVERRIDES: "+overrides, file)
	wantHere(78, "CONFIG_FILE (/none): ", "/none")
	wantHere(0, "356307042441013", writeFile(t, "settings.yaml", "UDP_PORT: x\nADMIN_TOKEN_FILE: /none\n"))
}
