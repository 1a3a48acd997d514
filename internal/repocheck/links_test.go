package repocheck

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// notOurs are directories of what is not of the repository's own.
var notOurs = []string{".git", "bin", "data", "dist", "examples/*/node_modules", "examples/*/packages"}

func isOurs(directory string) bool {
	return filepath.Base(directory) != "testdata" && !slices.ContainsFunc(notOurs, func(pattern string) bool {
		matches, _ := filepath.Match(pattern, directory)
		return matches
	})
}

// files are the repository's whose names end in one of these, without what is not of the repository's own.
func files(t *testing.T, endings ...string) (all []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && !isOurs(path) {
			return filepath.SkipDir
		}
		for _, ending := range endings {
			if !d.IsDir() && strings.HasSuffix(path, ending) {
				all = append(all, path)
				break
			}
		}
		return nil
	})
	if err != nil || len(all) == 0 {
		t.Fatalf("%d files end in %v, %v", len(all), endings, err)
	}
	return all
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	mention = regexp.MustCompile(
		`\b((?:OPERATIONS|ARCHITECTURE|CONTRIBUTING|SECURITY|CHANGELOG|docs/[a-z0-9/-]+)\.md)(#[a-z0-9_-]+)?`)
)

// TestLinks: links of the pages for people lead to files and headings that are there, and so does what the code, the
// alert rules and the files for deployment say of pages.
func TestLinks(t *testing.T) {
	for _, page := range files(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(prose(readText(t, page)), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target, anchor, _ := strings.Cut(m[1], "#")
			file := page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), target)
			}
			wantHeading(t, page, file, anchor)
		}
	}
	for _, file := range files(t, ".go", ".yml", ".yaml", ".json", ".service", ".socket", ".cfg", ".example", "file") {
		for _, m := range mention.FindAllStringSubmatch(readText(t, file), -1) {
			wantHeading(t, file, m[1], strings.TrimPrefix(m[2], "#"))
		}
	}
}

// wantHeading fails unless a file is there and has the heading.
func wantHeading(t *testing.T, from, file, anchor string) {
	t.Helper()
	if _, err := os.Stat(file); err != nil {
		t.Errorf("%s: %v", from, err)
	} else if anchor != "" && !anchors(readText(t, file))[anchor] {
		t.Errorf("%s: %s has no heading for %q", from, file, anchor)
	}
}

var notAnchor = regexp.MustCompile("[^a-z0-9 _-]")

// anchors are the names by which a page's headings are linked to.
func anchors(page string) map[string]bool {
	all := make(map[string]bool)
	for line := range strings.Lines(prose(page)) {
		if heading := strings.TrimLeft(line, "#"); heading != line {
			name := notAnchor.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			all[strings.ReplaceAll(name, " ", "-")] = true
		}
	}
	return all
}

var fenced = regexp.MustCompile("(?ms)^ *```.*?^ *```$")

// prose is a page without its blocks of code.
func prose(page string) string { return fenced.ReplaceAllString(page, "") }

// TestLinesFit: a page's lines fit on a screen, but in tables and code, where they cannot be broken.
func TestLinesFit(t *testing.T) {
	for _, page := range files(t, ".md") {
		for line := range strings.Lines(prose(readText(t, page))) {
			line = strings.TrimRight(line, "\n")
			if n := utf8.RuneCountInString(line); n > maxColumns && !strings.HasPrefix(line, "|") {
				t.Errorf("%s: a line of %d columns: %.60s…", page, n, line)
			}
		}
	}
}

var (
	testName     = regexp.MustCompile("`(Test[A-Z]\\w+)`")
	testFunction = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
)

// TestNamedTestsExist: a test that a page names for what it shows is there.
func TestNamedTestsExist(t *testing.T) {
	there := make(map[string]bool)
	for _, file := range files(t, "_test.go") {
		for _, m := range testFunction.FindAllStringSubmatch(readText(t, file), -1) {
			there[m[1]] = true
		}
	}
	for _, page := range files(t, ".md") {
		for _, m := range testName.FindAllStringSubmatch(readText(t, page), -1) {
			if !there[m[1]] {
				t.Errorf("%s names %s, which is not there", page, m[1])
			}
		}
	}
}
