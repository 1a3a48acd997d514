package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/redisstore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/sqlitestore"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// runHere runs a command in this process.
func runHere(t *testing.T, stdin string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append([]string{"tcp-ingestion"}, args...), strings.NewReader(stdin), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestDictionaryPrints(t *testing.T) {
	for _, tt := range []struct {
		args  []string
		code  int
		lines int // 0: any
		says  string
	}{
		{nil, exitOK, 0, "66\t2\texternal.powersource.voltage\t"},
		{[]string{"--id", "66"}, exitOK, 2, "\t0.001\t"},
		{[]string{"--id", "25", "--family", "fmx6"}, exitOK, 2, "can.engine.temperature"},
		{[]string{"--id", "10353", "--model", "fmc650"}, exitOK, 2, "reefer.compressor.rpm"},
		{[]string{"--id", "66", "--json"}, exitOK, 1, `"multiplier":"0.001"`},
		{[]string{"--sql"}, exitOK, 0, "COPY io_elements FROM stdin;"},
		{[]string{"--id", "65111"}, exitFailure, 0, "no row"},
		{[]string{"--id", "65536"}, exitUsage, 0, "--id"},
		{[]string{"--id="}, exitUsage, 0, "--id"},
		{[]string{"--family", "fmz"}, exitUsage, 0, "fmb, fmx6, tat, ft, fm63, fm36 or fm11"},
		{[]string{"--json", "--sql"}, exitUsage, 0, "one of them"},
		{[]string{"66"}, exitUsage, 0, `unknown command "66"`},
		{[]string{"--xml"}, exitUsage, 0, "unknown flag"},
	} {
		code, out, errOut := runHere(t, "", append([]string{"dictionary"}, tt.args...)...)
		if code != tt.code || !strings.Contains(out+errOut, tt.says) {
			t.Errorf("%q: exit code %d, want %d: %.300s%s", tt.args, code, tt.code, out, errOut)
		}
		if n := strings.Count(out, "\n"); tt.lines > 0 && n != tt.lines {
			t.Errorf("%q: %d lines, want %d", tt.args, n, tt.lines)
		}
	}
}

func TestDictionaryCheck(t *testing.T) {
	good := "imei:356307042441013  9  2  tank.level  number  0  0.05  0  %\n"
	for _, tt := range []struct {
		text string
		code int
		says []string
	}{
		{good, exitOK, []string{"fmb, fmx6, tat, fm63, fm36, fm11 9/2: ain.1 → tank.level", "good, 1 row; dictionary 2"}},
		{"", exitOK, []string{"good, 0 rows"}},
		{good + "*\tq\t1\ta\tnumber\nx\t1\t1\ta\tnumber\n", exitSettings,
			[]string{"line 2, column id", "line 3, column match", "2 problems"}},
		{"*\t1\t1\t\x1b[2J\tnumber\n", exitSettings, []string{"line 1, column name"}},
	} {
		path := filepath.Join(t.TempDir(), "overrides")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for stdin, file := range map[string]string{"": path, tt.text: "-"} {
			code, out, errOut := runHere(t, stdin, "dictionary", "check", file)
			if code != tt.code {
				t.Errorf("%q: exit code %d, want %d: %s%s", tt.text, code, tt.code, out, errOut)
			}
			for _, text := range tt.says {
				if !strings.Contains(out+errOut, text) {
					t.Errorf("%q: does not say %q: %s%s", tt.text, text, out, errOut)
				}
			}
			if strings.Contains(out+errOut, "\x1b") {
				t.Errorf("%q does something to the terminal: %q", tt.text, out+errOut)
			}
		}
	}
	for code, args := range map[int][]string{
		exitUsage: {"dictionary", "check"}, exitFailure: {"dictionary", "check", "/dev/null/file"},
	} {
		if got, _, errOut := runHere(t, "", args...); got != code || errOut == "" {
			t.Errorf("%q: exit code %d, want %d: %s", args, got, code, errOut)
		}
	}
}

// TestDictionaryOfStoredRecords explains a device and counts what is unknown, by what both engines have stored.
func TestDictionaryOfStoredRecords(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, store store) {
		settings := map[string]string{"RECORD_RAW": "true"}
		for name, value := range store.settings {
			settings[name] = value
		}
		s := startServer(t, settings)
		f := startFleet(t, s.devices, 5, nil)
		f.awaitProgress(t, 50)
		f.end(t)
		var record struct {
			DeviceID string `json:"device_id"`
		}
		if err := json.Unmarshal([]byte(store.payloads(t)[0]), &record); err != nil {
			t.Fatal(err)
		}
		code, out, errOut := execute(t, store.settings, "", "dictionary", "explain", "--json", record.DeviceID)
		var explained struct {
			Family   string
			Records  int
			Elements []struct{ Name string }
		}
		if err := json.Unmarshal([]byte(out), &explained); err != nil || code != 0 || explained.Family == "" ||
			explained.Records == 0 || len(explained.Elements) == 0 {
			t.Errorf("exit code %d, %v: %s%s", code, err, out, errOut)
		}
		code, out, errOut = execute(t, store.settings, "", "dictionary", "explain", "--model", "FMC130", record.DeviceID)
		if code != 0 || !strings.Contains(out, "family fmb, model FMC130, pinned by the map of models or by a flag") {
			t.Errorf("exit code %d: %s%s", code, out, errOut)
		}
		if code, out, _ := execute(t, store.settings, "", "dictionary", "explain", "999"); code != exitFailure {
			t.Errorf("a device that nothing is stored of: exit code %d: %s", code, out)
		}
		overrides := filepath.Join(t.TempDir(), "overrides")
		code, out, errOut = execute(t, store.settings, "", "dictionary", "unknown")
		if code != 0 || !strings.Contains(out, "have no meaning by dictionary 2") {
			t.Errorf("exit code %d: %s%s", code, out, errOut)
		}
		code, _, errOut = execute(t, store.settings, "", "dictionary", "unknown", "--dictionary-overrides", overrides)
		if code != exitSettings || !strings.Contains(errOut, "DICTIONARY_OVERRIDES") {
			t.Errorf("overrides that are not there: exit code %d: %s", code, errOut)
		}
	})
	for _, args := range [][]string{
		{"unknown", "--sql"}, {"unknown", "--id", "1"}, {"check", "--json", "-"}, {"unknown", "1"},
		{"explain"}, {"explain", "a b"}, {"explain", "1", "2"},
		{"explain", "--model", "XX", "1"}} {
		if code, out, _ := runHere(t, "", append([]string{"dictionary"}, args...)...); code != exitUsage {
			t.Errorf("%q: exit code %d: %s", args, code, out)
		}
	}
}

// TestDictionaryExplainsWhatIsKept: what the service has kept of a device counts, also without records, and the user's
// map and definitions count more.
func TestDictionaryExplainsWhatIsKept(t *testing.T) {
	t.Parallel()
	const imei = "356307042441013"
	dir := t.TempDir()
	makeFiles(t, map[string]string{"DATA_DIR": dir})
	var evidence meaning.Evidence
	evidence.Add(meaning.Embedded(), meaning.Element{ID: 72, Width: meaning.Width2})
	b, err := evidence.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	keep := func(s device.Store, err error) {
		t.Helper()
		if err == nil {
			err = s.Save(t.Context(), []device.Kept{{IMEI: imei, Evidence: b, Model: "FMB640", Firmware: "03.27.07_00"}})
		}
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	keep(sqlitestore.New(dir, slog.New(slog.DiscardHandler)))
	url := testkit.StartRedis(t).URL()
	keep(redisstore.New(url, "test"))
	models, overrides := filepath.Join(dir, "models"), filepath.Join(dir, "overrides")
	for path, text := range map[string]string{
		models: "3563* FMC130\n", overrides: "model:FMC130\t9\t2\ttank.level\tnumber\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		settings map[string]string
		says     []string
	}{
		{map[string]string{"DATA_DIR": dir}, []string{"family fmx6, model FMB640, pinned by its own answer to getver",
			"what the service has kept", "72/2 is known to fmx6", "old scale, by firmware 03.27.07_00"}},
		{map[string]string{"REDIS_URL": url}, []string{"family fmx6, model FMB640", "72/2 is known to fmx6"}},
		{map[string]string{"DATA_DIR": dir, "DEVICE_MODELS": models, "DICTIONARY_OVERRIDES": overrides},
			[]string{"family fmb, model FMC130, pinned by the map", "dictionary " + meaning.Embedded().Version() + "+"}},
	} {
		code, out, errOut := execute(t, tt.settings, "", "dictionary", "explain", imei)
		if code != 0 {
			t.Errorf("%v: exit code %d: %s%s", tt.settings, code, out, errOut)
		}
		for _, text := range tt.says {
			if !strings.Contains(out, text) {
				t.Errorf("%v: does not say %q:\n%s%s", tt.settings, text, out, errOut)
			}
		}
	}
}
