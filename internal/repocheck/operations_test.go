package repocheck

import (
	"flag"
	"fmt"
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/tlsserver"
)

// operations is the on-call's page. The tests here and in cmd/tcp-ingestion and internal/teltonikasession hold it to
// what the code does.
const operations = "OPERATIONS.md"

var update = flag.Bool("update", false, "write the generated parts of OPERATIONS.md anew")

func TestSettingsAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("| variable | default | meaning |\n|---|---|---|\n")
	for _, s := range config.Settings {
		shown := ""
		if s.Default != "" {
			shown = "`" + s.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Name, shown, s.Help)
	}
	testkit.Section(t, operations, "settings", b.String(), *update)
}

// chapter is what stands below a heading of the on-call's page, up to the next one that is not below it.
func chapter(t *testing.T, heading string) string {
	t.Helper()
	return chapterOf(t, operations, heading)
}

func chapterOf(t *testing.T, page, heading string) string {
	t.Helper()
	_, rest, found := strings.Cut("\n"+readText(t, page), "\n"+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", page, heading)
	}
	depth := strings.IndexByte(heading, ' ')
	if next := regexp.MustCompile(fmt.Sprintf(`(?m)^#{1,%d} `, depth)).FindStringIndex(rest); next != nil {
		rest = rest[:next[0]]
	}
	return rest
}

// rows are the cells of the tables in a text, without their headings.
func rows(text string) [][]string {
	var all [][]string
	head := true
	for line := range strings.Lines(text) {
		switch line = strings.TrimSpace(line); {
		case !strings.HasPrefix(line, "|"):
			head = true
		case strings.HasPrefix(line, "|---"):
			head = false
		case !head:
			cells := strings.Split(strings.Trim(line, "|"), "|")
			for i := range cells {
				cells[i] = strings.TrimSpace(cells[i])
			}
			all = append(all, cells)
		}
	}
	return all
}

// firstCells are the tables' first cells, without the quotes for code.
func firstCells(text string) map[string]bool {
	cells := make(map[string]bool)
	for _, row := range rows(text) {
		cells[strings.Trim(row[0], "`")] = true
	}
	return cells
}

// wantSame fails for what is in one of the two sets only.
func wantSame(t *testing.T, inCode, onPage map[string]bool, page, what string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(inCode)) {
		if !onPage[name] {
			t.Errorf("%s %q is not in %s", what, name, page)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(onPage)) {
		if !inCode[name] {
			t.Errorf("%s has the %s %q, which the code does not", page, what, name)
		}
	}
}

// The page for fleet owners explains every reason for which a TLS handshake fails, and no other.
func TestTLSReasonsAreDocumented(t *testing.T) {
	inCode := make(map[string]bool)
	for _, reason := range tlsserver.Reasons {
		inCode[string(reason)] = true
	}
	wantSame(t, inCode, firstCells(chapterOf(t, "docs/tls.md", "## What fails how")), "docs/tls.md", "TLS reason")
}

func TestCloseReasonsAreDocumented(t *testing.T) {
	inCode := make(map[string]bool)
	for _, f := range sources(t, "internal/ingest", "internal/teltonikasession") {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) == 0 || !strings.HasPrefix(spec.Names[0].Name, "Reason") {
				return true
			}
			if reason, ok := text(spec.Values[0]); ok {
				inCode[reason] = true
			}
			return true
		})
	}
	if len(inCode) < 10 {
		t.Fatalf("only %d reasons found", len(inCode))
	}
	wantSame(t, inCode, firstCells(chapter(t, "## Close reasons")), operations, "close reason")
}

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// Links of the pages for people lead to files and headings that are there.
func TestLinks(t *testing.T) {
	pages := []string{"README.md", operations, "ARCHITECTURE.md"}
	for _, pattern := range []string{"docs/*.md", "docs/decisions/*.md", "deploy/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: no pages, %v", pattern, err)
		}
		pages = append(pages, found...)
	}
	for _, page := range pages {
		for _, m := range link.FindAllStringSubmatch(readText(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			file := page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if anchor != "" && !anchors(readText(t, file))[anchor] {
				t.Errorf("%s: no heading for %q", page, m[1])
			}
		}
	}
}

var notAnchor = regexp.MustCompile("[^a-z0-9 _-]")

// anchors are the names by which a page's headings are linked to.
func anchors(page string) map[string]bool {
	all := make(map[string]bool)
	for line := range strings.Lines(page) {
		if heading := strings.TrimLeft(line, "#"); heading != line {
			name := notAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			all[strings.ReplaceAll(name, " ", "-")] = true
		}
	}
	return all
}
