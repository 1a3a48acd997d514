package repocheck

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestComposeObservability: Prometheus and Grafana may do no more than they have to, nobody reaches them from another
// host, Grafana has no account, and what is mounted is there and where the other files look for it.
func TestComposeObservability(t *testing.T) {
	text := contents(t, observePath)
	kinds := strings.Count(text, "image: ")
	for _, want := range []string{
		"restart: unless-stopped", "read_only: true", "cap_drop: [ALL]", `security_opt: ["no-new-privileges:true"]`,
		"healthcheck:", "nofile:", "stop_grace_period:", "logging: *logging", `user: "`, `      - "127.0.0.1:`,
	} {
		if n := strings.Count(text, want); n != kinds {
			t.Errorf("%d services, %d have %s", kinds, n, want)
		}
	}
	if ports := regexp.MustCompile(`(?m)^      - "\S*\d+:\d+"`).FindAllString(text, -1); len(ports) != kinds {
		t.Errorf("ports %q, all have to be on loopback", ports)
	}
	for _, m := range regexp.MustCompile(`(?m)^      - (\./\S+):\S+:ro$`).FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat(filepath.Join("deploy", m[1])); err != nil {
			t.Error(err)
		}
	}
	for path, wants := range map[string][]string{
		"deploy/grafana/grafana.ini": {
			"disable_initial_admin_creation = true", "[auth.anonymous]\nenabled = true\norg_role = Viewer",
			"[auth.basic]\nenabled = false", "default_home_dashboard_path = /etc/grafana/dashboards/tcp-ingestion.json",
		},
		"deploy/grafana/provisioning/dashboards/tcp-ingestion.yaml": {"path: /etc/grafana/dashboards\n"},
		"deploy/grafana/provisioning/datasources/prometheus.yaml":   {"url: http://prometheus:9090\n"},
		observePath: {
			":/etc/grafana/dashboards/tcp-ingestion.json:ro", ":/etc/grafana/grafana.ini:ro",
			":/etc/grafana/provisioning:ro", ":/etc/prometheus:ro", "--config.file=/etc/prometheus/prometheus.yml",
		},
	} {
		for _, want := range wants {
			if !strings.Contains(contents(t, path), want) {
				t.Errorf("%s has no %q", path, want)
			}
		}
	}
	promtool(t, "check", "config", "deploy/prometheus/prometheus.yml")
}
