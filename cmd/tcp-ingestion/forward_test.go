package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// startForward starts `tcp-ingestion forward` beside a server and waits until it answers.
func startForward(t testing.TB, settings map[string]string) *server {
	t.Helper()
	all := map[string]string{"METRICS_PORT": "0"}
	maps.Copy(all, settings)
	f := launch(t, program(t, all, "forward"))
	testkit.Eventually(t, "forward listens", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.http != ""
	})
	return f
}

// toFiles are the settings that have the store forwarded to files in small batches.
func toFiles(t testing.TB, s store) (settings map[string]string, dir string) {
	dir = filepath.Join(t.TempDir(), "out")
	settings = map[string]string{
		"FORWARD_TO": "file:" + dir, "FORWARD_BATCH_RECORDS": "50", "FORWARD_BATCH_WAIT": "50ms",
		"FORWARD_FILE_BYTES": "300000", "DATA_DIR": t.TempDir(),
	}
	maps.Copy(settings, s.settings)
	return settings, dir
}

// idsByDevice are the ids of documents in their order, each once.
func idsByDevice(t testing.TB, documents []string) map[string][]string {
	t.Helper()
	seen, all := map[string]bool{}, map[string][]string{}
	for _, document := range documents {
		var d struct {
			ID     string `json:"id"`
			Device string `json:"device_id"`
		}
		if err := json.Unmarshal([]byte(document), &d); err != nil {
			t.Fatalf("%v in %q", err, document)
		}
		if !seen[d.ID] {
			seen[d.ID] = true
			all[d.Device] = append(all[d.Device], d.ID)
		}
	}
	return all
}

// delivered are the documents in the files, in the files' order.
func delivered(t testing.TB, dir string) (documents []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.jsonl*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has been completed just now: the next look finds it
		}
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(content)) {
			if whole, ok := strings.CutSuffix(line, "\n"); ok {
				documents = append(documents, whole)
			}
		}
	}
	return documents
}

// TestKillForward kills forward in the middle, again and again. Every record that is stored is delivered, and each
// device's in the order in which they are stored.
func TestKillForward(t *testing.T) {
	for _, open := range []func(testing.TB) store{
		func(t testing.TB) store { return redisStore(t) }, embeddedStore, kafkaStore, postgresStore,
	} {
		store := open(t)
		t.Run(store.name, func(t *testing.T) {
			t.Parallel()
			s := startServer(t, store.settings)
			settings, dir := toFiles(t, store)
			fleet := startFleet(t, s.devices, 20, moderate)
			f := startForward(t, settings)
			for range 2 {
				testkit.EventuallyIn(t, "records are delivered", 2*patience, func() bool {
					return f.metric("forward_delivered_records_total") > 500
				})
				f.kill()
				f = startForward(t, settings)
			}
			fleet.endWith(t, s)
			want := idsByDevice(t, store.payloads(t))
			testkit.EventuallyIn(t, "all is delivered", 3*patience, func() bool {
				return maps.EqualFunc(idsByDevice(t, delivered(t, dir)), want, slices.Equal[[]string])
			})
			if code := f.stop(syscall.SIGTERM, patience); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(left) > 0 {
				t.Errorf("%q are left", left)
			}
		})
	}
}

// TestForwardStandsBy has a second process of the group wait, be ready, and take over.
func TestForwardStandsBy(t *testing.T) {
	t.Parallel()
	store := embeddedStore(t)
	s := startServer(t, store.settings)
	settings, dir := toFiles(t, store)
	startFleet(t, s.devices, 5, moderate)
	first := startForward(t, settings)
	testkit.Eventually(t, "records are delivered", func() bool {
		return first.metric("forward_delivered_records_total") > 0
	})
	second := startForward(t, settings)
	testkit.Eventually(t, "the second stands by", func() bool { return second.metric("forward_waiting") == 1 })
	if status, body := second.get("/readyz"); status != 200 || !strings.Contains(body, "waits for its turn") {
		t.Errorf("one that stands by is %d: %s", status, body)
	}
	if n := second.metric("forward_delivered_records_total"); n != 0 {
		t.Errorf("one that stands by has delivered %v records", n)
	}
	if code := first.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	testkit.Eventually(t, "the second delivers", func() bool {
		return second.metric("forward_delivered_records_total") > 0
	})
	if code := second.stop(syscall.SIGTERM, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	documents := delivered(t, dir)
	got, stored := idsByDevice(t, documents), idsByDevice(t, store.payloads(t))
	count := 0
	for device, ids := range got {
		if count += len(ids); !slices.Equal(ids, stored[device][:len(ids)]) {
			t.Errorf("records of %s are missing or out of order", device)
		}
	}
	if len(documents) != count {
		t.Errorf("%d records are delivered in %d documents, though nothing was killed", count, len(documents))
	}
}

// TestForwardOfEngineThatCannot says so at once.
func TestForwardOfEngineThatCannot(t *testing.T) {
	t.Parallel()
	settings := map[string]string{"ENGINE": "jetstream", "NATS_URL": "nats://127.0.0.1:1", "FORWARD_TO": "-"}
	code, _, errOut := execute(t, settings, "", "forward")
	if code != exitSettings || !strings.Contains(errOut, "ENGINE=jetstream cannot be forwarded") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
}

// TestForwardRefusesWrongSettings names all of them at once.
func TestForwardRefusesWrongSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		settings map[string]string
		says     []string
	}{
		{map[string]string{}, []string{"FORWARD_TO", "not set"}},
		{map[string]string{"FORWARD_TO": "gopher://u:hunter2@h/", "FORWARD_FORMAT": "xml"}, []string{
			"FORWARD_TO", "gopher", "FORWARD_FORMAT", "flespi"}},
		{map[string]string{"FORWARD_TO": "-", "FORWARD_GROUP": "a b", "FORWARD_DEVICES": "?", "KAFKA_BROKERS": "x"},
			[]string{"FORWARD_GROUP", "FORWARD_DEVICES", "KAFKA_BROKERS"}},
	} {
		c.settings["DATA_DIR"] = t.TempDir()
		code, _, errOut := execute(t, c.settings, "", "forward")
		for _, text := range c.says {
			if code != exitSettings || !strings.Contains(errOut, text) || strings.Contains(errOut, "hunter2") {
				t.Errorf("%v: exit code %d, and %q is not in\n%s", c.settings, code, text, errOut)
			}
		}
		if code, _, errOut := execute(t, c.settings, "", "check"); c.settings["FORWARD_TO"] != "" && code != exitSettings {
			t.Errorf("%v: check finds nothing wrong, exit code %d: %s", c.settings, code, errOut)
		}
	}
}
