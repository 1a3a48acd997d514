package httpsink

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/secret"
)

const page = "../../../docs/forward-http.md"

// TestSignature runs the page's receiver against requests of ours.
func TestSignature(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(text), "```python\n")
	program, _, found := strings.Cut(block, "```")
	if !found {
		t.Fatal("the page has no receiver in Python")
	}
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte("a key of the file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newReceiver(t)
	for name, key := range map[string]struct {
		is    secret.Text
		bytes string
	}{
		"text": {secret.Text{Value: "a key"}, "a key"}, "base64": {secret.Text{Value: "whsec_YSBrZXk="}, "a key"},
		"file": {secret.Text{File: keyFile}, "a key of the file"},
	} {
		s, _ := newSink(t, Options{URL: r.URL, Gzip: name == "file", Key: key.is})
		if err := s.Deliver(t.Context(), records(0, 5)); err != nil {
			t.Fatal(err)
		}
		q, body := r.last()
		if out, err := verify(t, program, q.Header, body, key.bytes); err != nil || out != "000000 000004" {
			t.Errorf("%s: %q, %v", name, out, err)
		}
		old := q.Header.Clone()
		old.Set(headerTimestamp, "1000000000")
		old.Set(headerSignature, sign([]byte(key.bytes), old.Get(headerID), "1000000000", body))
		another := q.Header.Clone()
		another.Set(headerID, "batch_0")
		changed := append([]byte(nil), body...)
		changed[len(changed)-3]++
		for fault, run := range map[string]func() (string, error){
			"changed body":       func() (string, error) { return verify(t, program, q.Header, changed, key.bytes) },
			"another key":        func() (string, error) { return verify(t, program, q.Header, body, key.bytes+"x") },
			"another id":         func() (string, error) { return verify(t, program, another, body, key.bytes) },
			"an old one, resent": func() (string, error) { return verify(t, program, old, body, key.bytes) },
		} {
			if out, err := run(); err == nil || !strings.Contains(out, "ValueError") {
				t.Errorf("%s, %s: %q", name, fault, out)
			}
		}
	}
}

// verify runs the program, which defines receive(headers, body, key), and returns what it prints of the records.
func verify(t *testing.T, program string, h http.Header, body []byte, key string) (string, error) {
	t.Helper()
	headers := map[string]string{}
	for name := range h {
		headers[strings.ToLower(name)] = h.Get(name)
	}
	asJSON, err := json.Marshal(headers)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "python3", "-c", program+`
import sys
records = receive(json.loads(sys.argv[1]), sys.stdin.buffer.read(), sys.argv[2].encode())
print(records[0]["id"], records[-1]["id"])`, string(asJSON), key)
	cmd.Stdin = strings.NewReader(string(body))
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}
