package testkit

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Section compares a generated part of a document with what it should be, or writes it anew. The part stands between
// the lines "<!-- generated: name -->" and "<!-- end: name -->".
func Section(tb testing.TB, path, name, want string, update bool) {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	begin, end := fmt.Sprintf("<!-- generated: %s -->\n", name), fmt.Sprintf("<!-- end: %s -->\n", name)
	before, rest, found := strings.Cut(string(b), begin)
	got, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		tb.Fatalf("%s has no lines %q and %q", path, begin, end)
	}
	if got == want {
		return
	}
	if !update {
		tb.Fatalf("%s, section %s, is not what the program says: run `make docs`\nis:\n%s\nshould be:\n%s", path, name, got,
			want)
	}
	if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
		tb.Fatal(err)
	}
}
