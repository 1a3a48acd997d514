package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v4"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// helmVersion is the one that `make tools` installs, which reads it here.
const helmVersion = "v4.2.3"

const chartPath = "tcp-ingestion"

// helm runs it without anybody's own settings, and returns what it says, or what is wrong.
func helm(t *testing.T, arguments ...string) (out string, err error) {
	t.Helper()
	cmd := exec.Command(testkit.ToolPath(t, "helm-"+helmVersion), arguments...)
	home := t.TempDir()
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home,
		"KUBECONFIG="+filepath.Join(home, "none"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", errors.New(err.Error() + ": " + stderr.String())
	}
	return stdout.String(), nil
}

// rendering is what the chart becomes with some values.
type rendering struct {
	text    string
	objects []*object
}

// templateOf are the arguments that render a chart as a release called fleet, in the namespace trackers.
func templateOf(chart string, arguments ...string) []string {
	return append([]string{"template", "fleet", chart, "--namespace", "trackers"}, arguments...)
}

func template(t *testing.T, chart string, arguments ...string) *rendering {
	t.Helper()
	out, err := helm(t, templateOf(chart, arguments...)...)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, out)
}

func parse(t *testing.T, out string) *rendering {
	t.Helper()
	r := &rendering{text: out}
	for document := range strings.SplitSeq("\n"+out, "\n---\n") {
		var value any
		if err := yaml.Unmarshal([]byte(document), &value); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if value == nil {
			continue
		}
		o := &object{}
		text, err := json.Marshal(value)
		if err == nil {
			err = json.Unmarshal(text, o)
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		o.json = text
		r.objects = append(r.objects, o)
	}
	if len(r.objects) == 0 {
		t.Fatal("nothing is rendered")
	}
	return r
}

// caseFiles are the sets of values that the chart is tried with.
func caseFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	return files
}

// outputs are Helm's for each of them, once for all tests: functions that return it, by file.
var outputs sync.Map

// eachCase checks what the chart becomes with each of them.
func eachCase(t *testing.T, check func(*testing.T, *rendering)) {
	for _, file := range caseFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yaml"), func(t *testing.T) {
			t.Parallel()
			output, _ := outputs.LoadOrStore(file, sync.OnceValues(func() (string, error) {
				return helm(t, templateOf(chartPath, "--values", file)...)
			}))
			out, err := output.(func() (string, error))()
			if err != nil {
				t.Fatal(err)
			}
			check(t, parse(t, out))
		})
	}
}

// valuesFile is a file of values for one test.
func valuesFile(t *testing.T, values string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(path, []byte(values), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLint(t *testing.T) {
	for _, file := range caseFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			if _, err := helm(t, "lint", "--strict", chartPath, "--values", file); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestPackage: what `helm package` makes is whole, though the alert rules are a link to those of deploy/prometheus.
func TestPackage(t *testing.T) {
	dir := t.TempDir()
	if _, err := helm(t, "package", chartPath, "--destination", dir); err != nil {
		t.Fatal(err)
	}
	archives, _ := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if len(archives) != 1 {
		t.Fatal(archives)
	}
	const values = "testdata/values/everything.yaml"
	packed, plain := template(t, archives[0], "--values", values), template(t, chartPath, "--values", values)
	if packed.text != plain.text {
		t.Error("the package renders other objects than its source")
	}
}

// TestNotes: what helm tells who has installed the chart names the objects that are there, and warns.
func TestNotes(t *testing.T) {
	notes := func(arguments ...string) string {
		t.Helper()
		out, err := helm(t, append([]string{"install", "fleet", chartPath, "--dry-run=client"}, arguments...)...)
		if err != nil {
			t.Fatal(err)
		}
		_, notes, _ := strings.Cut(out, "\nNOTES:\n")
		return notes
	}
	const (
		warning = "WARNING: without secretSettings.CONTROL_REDIS_URL"
		exec    = "exec %s/fleet-tcp-ingestion -- /tcp-ingestion check"
	)
	if got := notes(); !strings.Contains(got, fmt.Sprintf(exec, "statefulset")) || strings.Contains(got, warning) {
		t.Error(got)
	}
	got := notes("--set", "engine=kafka,settings.KAFKA_BROKERS=kafka:9092,replicas=2")
	if !strings.Contains(got, fmt.Sprintf(exec, "deployment")) || !strings.Contains(got, warning) {
		t.Error(got)
	}
}

// TestOldKubernetes: a version that lacks what the chart uses is refused.
func TestOldKubernetes(t *testing.T) {
	_, err := helm(t, "template", chartPath, "--kube-version", "1.27.0")
	if err == nil || !strings.Contains(err.Error(), "kubeVersion: >=1.28.0") {
		t.Error(err)
	}
}

// TestAlertRules: the chart's alerts are those of deploy/prometheus, which have tests of their own.
func TestAlertRules(t *testing.T) {
	text, err := os.ReadFile("../prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var want any
	if err := yaml.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	wanted, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	r := template(t, chartPath, "--values", "testdata/values/everything.yaml")
	if got := r.one(t, "PrometheusRule").Spec; !bytes.Equal(got, wanted) {
		t.Errorf("is %.200s…\nwant %.200s…", got, wanted)
	}
}
