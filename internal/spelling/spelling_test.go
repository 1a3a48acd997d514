package spelling_test

import (
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/spelling"
)

func TestEdits(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"serve", "serve", 0}, {"sevre", "serve", 1}, {"serv", "serve", 1}, {"", "tail", 4},
		{"tial", "tail", 1}, {"sned", "serve", 4}, {strings.Repeat("x", 100_000), "serve", 64},
	} {
		if got := spelling.Edits(c.a, c.b); got != c.want {
			t.Errorf("%.10q and %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
