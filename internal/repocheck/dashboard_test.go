package repocheck

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// dashboard is what matters here of a Grafana dashboard.
type dashboard struct {
	Panels []struct {
		ID         int
		Type       string
		Title      string
		Datasource struct{ UID string }
		Targets    []struct{ Expr string }
	}
	Templating struct{ List []struct{ Name string } }
}

// TestDashboard: it can be read, asks the data source that its user chooses, and every query is valid.
func TestDashboard(t *testing.T) {
	var d dashboard
	if err := json.Unmarshal([]byte(readText(t, "deploy/grafana/tcp-ingestion.json")), &d); err != nil {
		t.Fatal(err)
	}
	variables := make(map[string]bool)
	for _, v := range d.Templating.List {
		variables[v.Name] = true
	}
	if !variables["datasource"] || !variables["instance"] || !variables["job"] {
		t.Errorf("variables %v", variables)
	}
	ids := make(map[int]bool)
	rules := "groups:\n- name: dashboard\n  rules:\n"
	durations := strings.NewReplacer("$__rate_interval", "5m", "$__range", "3h")
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("%s: id %d is taken", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("%s: %d queries, data source %q", p.Title, len(p.Targets), p.Datasource.UID)
		}
		for i, target := range p.Targets {
			rules += fmt.Sprintf("  - {record: 'panel_%d_%d', expr: '%s'}\n", p.ID, i, durations.Replace(target.Expr))
		}
	}
	file := filepath.Join(t.TempDir(), "queries.yml")
	if err := os.WriteFile(file, []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}
