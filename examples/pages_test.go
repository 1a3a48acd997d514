package examples

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// notRun stands before the commands of a page that the tests cannot run.
var notRun = regexp.MustCompile("(?m)^[^\n]*[Nn]ot run by the tests[^\n]*\n\n```sh\n(?s:.*?)\n```$")

// runPage runs a page's commands against a server, a block after the other, and returns their output.
func runPage(t *testing.T, s *service, page string) string {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(filepath.Join("../docs", page))
	if err != nil {
		t.Error(err)
	}
	var all strings.Builder
	for _, m := range block.FindAllStringSubmatch(notRun.ReplaceAllString(string(text), ""), -1) {
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Timeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sh", "-e", "-c", m[1])
		cmd.WaitDelay = time.Second
		cmd.Env = append(s.settings, "ADMIN_ADDRESS="+s.admin, "PATH="+filepath.Dir(path)+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %s: %v\n%s", page, m[1], err, out)
		}
		all.Write(out)
	}
	return all.String()
}

// wantIn fails for what the output of a page lacks.
func wantIn(t *testing.T, page, out string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(out, text) {
			t.Errorf("the commands of %s do not say %q but\n%s", page, text, out)
		}
	}
}

// TestPages runs the commands of the pages for newcomers, as they stand there.
func TestPages(t *testing.T) {
	t.Parallel()
	redis := testkit.StartRedis(t, "--appendonly", "yes", "--maxmemory", "200mb", "--maxmemory-policy", "noeviction")
	s := serve(t, "REDIS_URL="+redis.URL(), "DATA_DIR="+t.TempDir())
	d := testkit.Dial(t, s.devices)
	d.Timeout = testkit.Timeout
	d.MustLogin("350000000000000")
	now := uint64(time.Now().UnixMilli())
	for n := range uint64(3) {
		d.SendFrame(teltonika.Codec8E, teltonika.Record{Timestamp: now - n, Latitude: 546_870_000, Longitude: 252_797_000,
			Satellites: 9})
		d.ExpectACK(1)
	}
	out := make(chan string)
	go func() { out <- runPage(t, s, "first-tracker.md") }()
	d.Answer(d.ExpectCommand("getver"), "Ver:03.28.00_00 GPS:AXN_5.0 Hw:FMC130 IMEI:350000000000000")
	wantIn(t, "first-tracker.md", <-out, "settings:   valid", "350000000000000: fine", "54.687", "Hw:FMC130")

	wantIn(t, "consume.md", runPage(t, s, "consume.md"), `"device_id":"350000000000000"`, "entries-read", "lag")
	wantIn(t, "moving-from-traccar.md", runPage(t, s, "moving-from-traccar.md"), `"uniqueId":"350000000000000"`)
}

// TestTraccarAttributes compares the page's table with the dictionary: an id has the signal on devices of family fmb.
func TestTraccarAttributes(t *testing.T) {
	t.Parallel()
	out, err := ingestion(t, nil, "dictionary", "--family", "fmb").Output()
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]string) // of ids and names, the whole row
	for line := range strings.Lines(string(out)) {
		columns := strings.Split(line, "\t")
		names[columns[0]+" "+columns[2]] = line
	}
	text, err := os.ReadFile("../docs/moving-from-traccar.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| (\\d+) \\| `([a-z0-9.]+)` \\|").FindAllStringSubmatch(string(text), -1)
	for _, row := range rows {
		if names[row[1]+" "+row[2]] == "" {
			t.Errorf("element %s is not %s in the dictionary", row[1], row[2])
		}
	}
	if len(rows) < 30 {
		t.Errorf("the page has %d elements only", len(rows))
	}
}

// TestExamplesAreShort: each example has a program below 100 lines, or queries, and a README with at most two commands
// to run it, and the list names it.
func TestExamplesAreShort(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	readmes, err := filepath.Glob("*/README.md")
	if err != nil || len(readmes) < 8 {
		t.Fatalf("%d examples, %v", len(readmes), err)
	}
	for _, readme := range readmes {
		if !strings.Contains(string(list), "]("+readme+")") {
			t.Errorf("the list does not name %s", readme)
		}
		if commands := blocks(t, readme)[0]; strings.Count(commands, "\n") > 1 {
			t.Errorf("%s takes more than two commands: %s", readme, commands)
		}
		programs := 0
		for _, pattern := range []string{"*.go", "*.py", "*.mjs", "*.sql"} {
			found, _ := filepath.Glob(filepath.Join(filepath.Dir(readme), pattern))
			programs += len(found)
			for _, program := range found {
				text, err := os.ReadFile(program)
				if lines := strings.Count(string(text), "\n"); err != nil || lines >= 100 {
					t.Errorf("%s has %d lines, %v", program, lines, err)
				}
			}
		}
		if programs == 0 {
			t.Errorf("beside %s is no program", readme)
		}
	}
}
