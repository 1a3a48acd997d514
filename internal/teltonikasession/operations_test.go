package teltonikasession

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

var update = flag.Bool("update", false, "write the table of docs/reference/errors.md anew")

// TestDocsActions: the page of errors says what follows from each as dispositions does.
func TestDocsActions(t *testing.T) {
	var b strings.Builder
	b.WriteString("| log message | level | errors | `frames_total` result | records refused as | dead letter | " +
		"answer | connection |\n" +
		"|---|---|---|---|---|---|---|---|\n")
	for i := range dispositions {
		v := &dispositions[i]
		var errors []string
		for _, name := range slices.Sorted(maps.Keys(actions)) {
			if dispositionOf(actions[name].err) == v {
				errors = append(errors, name)
			}
		}
		answer, connection := "none", "stays open"
		if v.answer {
			answer = "ACK, once the dead letter is stored"
		}
		if v.close != "" {
			connection = "closed: `" + string(v.close) + "`"
		}
		if v.close == ReasonCRC {
			connection += fmt.Sprintf(", at %d in a row", maxWrongCRCs)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | `%s` | %s | %s | %s | %s |\n", v.log, strings.ToLower(v.level.String()),
			strings.Join(errors, ", "), v.result, quoted(v.refused), quoted(v.deadLetter), answer, connection)
	}
	testkit.Section(t, "../../docs/reference/errors.md", "actions", b.String(), *update)
}

func quoted(s string) string {
	if s == "" {
		return "–"
	}
	return "`" + s + "`"
}
