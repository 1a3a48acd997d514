package repocheck

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	operations = "OPERATIONS.md"
	reference  = "docs/reference/"

	maxColumns = 120 // of a line of Go, and of a page's where it can be broken
)

var update = flag.Bool("update", false, "write the generated parts of the pages anew")

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// chapterOf is what stands below a heading of a page, up to the next one that is not below it.
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

// wantOnce fails for a table that has two lines for one thing.
func wantOnce(t *testing.T, page, text string) {
	t.Helper()
	seen := make(map[string]bool)
	for _, row := range rows(text) {
		if seen[row[0]] {
			t.Errorf("%s has %s twice", page, row[0])
		}
		seen[row[0]] = true
	}
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
