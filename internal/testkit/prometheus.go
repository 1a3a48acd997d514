//go:build linux

package testkit

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Prometheus is a real one on a free loopback port. Its methods fail the test instead of returning errors.
type Prometheus struct {
	tb   testing.TB
	base string
	run  *process
}

// StartPrometheus starts one with the configuration, in a directory with the other files, by their names. It is killed
// when the test ends, and if the test's process dies.
func StartPrometheus(tb testing.TB, config string, files map[string]string) *Prometheus {
	tb.Helper()
	dir := tb.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	for name, content := range files {
		write(name, content)
	}
	address := fmt.Sprintf("127.0.0.1:%d", freePorts(tb, 1)[0])
	p := &Prometheus{tb: tb, base: "http://" + address}
	var err error
	p.run, err = startProcess("prometheus", "--config.file="+write("prometheus.yml", config),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn")
	if err != nil {
		tb.Fatalf("these tests run prometheus: make tools (%v)", err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("prometheus: %s", p.run.out.String())
		}
		p.run.kill(tb)
	})
	Succeeds(tb, "prometheus is ready", 2*Timeout, func() error { return p.get("/-/ready", nil, nil) })
	return p
}

// get has the data of an answer, if into is not nil.
func (p *Prometheus) get(path string, query url.Values, into any) error {
	client := http.Client{Timeout: Timeout}
	response, err := client.Get(p.base + path + "?" + query.Encode())
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if into == nil {
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", path, response.Status)
		}
		return nil
	}
	answer := struct {
		Data  any
		Error string
	}{Data: into}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %s: %w", path, response.Status, err)
	}
	if answer.Error != "" {
		return fmt.Errorf("%s: %s", query.Get("query"), answer.Error)
	}
	return nil
}

// Query is how many series the expression has now; an error says why it has no answer.
func (p *Prometheus) Query(expression string) (series int, err error) {
	var data struct{ Result []json.RawMessage }
	err = p.get("/api/v1/query", url.Values{"query": {expression}}, &data)
	return len(data.Result), err
}

// Rule is a rule as Prometheus has evaluated it last.
type Rule struct {
	Name, Query, Health, LastError string
	LastEvaluation                 time.Time
}

// Rules are all of them.
func (p *Prometheus) Rules() (all []Rule) {
	p.tb.Helper()
	var data struct{ Groups []struct{ Rules []Rule } }
	if err := p.get("/api/v1/rules", nil, &data); err != nil {
		p.tb.Fatal(err)
	}
	for _, g := range data.Groups {
		all = append(all, g.Rules...)
	}
	return all
}
