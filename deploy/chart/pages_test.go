package chart

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	shellBlock = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")
	install    = regexp.MustCompile(`(?m)^helm upgrade --install tcp-ingestion deploy/chart/tcp-ingestion(.*)$`)
)

// TestPagesInstall: every helm command on the pages for people renders objects that Kubernetes takes, and settings that
// the program takes. What --reset-then-reuse-values stands for are those of an installation on Redis.
func TestPagesInstall(t *testing.T) {
	pages := map[string]int{"../../docs/kubernetes.md": 10, "tcp-ingestion/README.md": 1, "../README.md": 1}
	for page, want := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		commands := 0
		for _, block := range shellBlock.FindAllStringSubmatch(string(text), -1) {
			for _, command := range install.FindAllStringSubmatch(strings.ReplaceAll(block[1], "\\\n", ""), -1) {
				line, _, _ := strings.Cut(command[1], " #")
				commands++
				t.Run(page+line, func(t *testing.T) {
					t.Parallel()
					checkInstall(t, strings.Fields(line))
				})
			}
		}
		if commands != want {
			t.Errorf("%s has %d commands, want %d: change the number here with the page", page, commands, want)
		}
	}
}

func checkInstall(t *testing.T, arguments []string) {
	t.Helper()
	for i, a := range arguments {
		if a == "--reset-then-reuse-values" {
			arguments[i] = "--values=testdata/values/redis.yaml"
		}
	}
	r := template(t, chartPath, arguments...)
	settings(t, r)
	s := loadSchemas(t)
	for _, o := range r.objects {
		if err := s.check(o); err != nil {
			t.Error(err)
		}
	}
}
