package repocheck

import (
	"encoding/json"
	"os/exec"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const dashboardPath = "deploy/grafana/tcp-ingestion.json"

// dashboard is what matters here of a Grafana dashboard.
type dashboard struct {
	Panels     []panel
	Templating struct {
		List []struct {
			Name       string
			Datasource struct{ UID string }
		}
	}
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               struct{ UID string }
	Targets                  []struct {
		RefID, Expr string
		Datasource  struct{ UID string }
	}
	FieldConfig struct{ Defaults struct{ Unit string } }
	GridPos     struct{ X, Y, W, H int }
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(readText(t, dashboardPath)), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDashboard: it asks the data source that its user chooses, and every panel says what it shows, in which unit, and
// has a place of its own. That every query finds series is for TestQueriesFindSeries.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	variables := make(map[string]bool)
	for _, v := range d.Templating.List {
		variables[v.Name] = true
		if v.Name != "datasource" && v.Datasource.UID != "${datasource}" {
			t.Errorf("variable %s asks %q", v.Name, v.Datasource.UID)
		}
	}
	if !variables["datasource"] || !variables["instance"] || !variables["job"] {
		t.Errorf("variables %v", variables)
	}
	ids, taken := make(map[int]bool), make(map[[2]int]string)
	for _, p := range d.Panels {
		if p.ID == 0 || ids[p.ID] {
			t.Errorf("%s: id %d is taken", p.Title, p.ID)
		}
		ids[p.ID] = true
		p.wantPlace(t, taken)
		if p.Type != "row" {
			p.wantQueries(t)
		}
	}
}

// wantPlace fails where the panel lies upon another one, or beyond the 24 columns that there are.
func (p *panel) wantPlace(t *testing.T, taken map[[2]int]string) {
	t.Helper()
	g := p.GridPos
	if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
		t.Errorf("%s: its place is %+v", p.Title, g)
	}
	for x := g.X; x < g.X+g.W; x++ {
		for y := g.Y; y < g.Y+g.H; y++ {
			if other, is := taken[[2]int{x, y}]; is {
				t.Fatalf("%s lies upon %s", p.Title, other)
			}
			taken[[2]int{x, y}] = p.Title
		}
	}
}

func (p *panel) wantQueries(t *testing.T) {
	t.Helper()
	if p.Title == "" || p.Description == "" || p.FieldConfig.Defaults.Unit == "" {
		t.Errorf("%d: title %q, description %q, unit %q", p.ID, p.Title, p.Description, p.FieldConfig.Defaults.Unit)
	}
	if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
		t.Errorf("%s: %d queries, data source %q", p.Title, len(p.Targets), p.Datasource.UID)
	}
	refs := make(map[string]bool)
	for _, target := range p.Targets {
		if target.Expr == "" || target.Datasource.UID != "${datasource}" || refs[target.RefID] {
			t.Errorf("%s %s: query %q of %q", p.Title, target.RefID, target.Expr, target.Datasource.UID)
		}
		refs[target.RefID] = true
	}
}

// TestDashboardSchema: nothing in it has another type than Grafana's own schema says, is unknown there, or is missing.
func TestDashboardSchema(t *testing.T) {
	schema := testkit.ToolPath(t, "grafana-schema")
	if out, err := exec.Command(schema, dashboardPath).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
