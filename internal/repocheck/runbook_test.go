package repocheck

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

const (
	alertRules = "deploy/prometheus/alerts.yml"
	runbook    = "docs/runbook.md"
)

// alert is a rule of alerts.yml: what stands below it by key, and the comment above its group.
type alert struct {
	name, group string
	values      map[string]string
}

var ruleKey = regexp.MustCompile(`^ +(?:- )?(\w+):(?: (.*))?$`)

// alerts reads the part of YAML that alerts.yml is written in: a key and its value on a line, the value plain, in
// single quotes, or indented below as >- (lines joined by spaces) or |- (lines kept).
func alerts(t *testing.T) []*alert {
	t.Helper()
	var (
		all     []*alert
		comment string
		current = &alert{values: map[string]string{}} // what belongs to no alert
	)
	lines := strings.Split(readText(t, alertRules), "\n")
	for i := 0; i < len(lines); i++ {
		if text, is := strings.CutPrefix(lines[i], "  # "); is {
			comment = text
		}
		m := ruleKey.FindStringSubmatch(lines[i])
		if m == nil {
			continue
		}
		key, value := m[1], m[2]
		switch {
		case value == ">-" || value == "|-":
			block, read := indented(lines[i+1:], indentation(lines[i]))
			i += read
			value = strings.Join(block, map[string]string{">-": " ", "|-": "\n"}[value])
		case strings.HasPrefix(value, "'"):
			value = strings.ReplaceAll(strings.Trim(value, "'"), "''", "'")
		}
		if key == "alert" || key == "record" {
			current = &alert{name: value, group: comment, values: map[string]string{}}
		}
		if key == "alert" {
			all = append(all, current)
		}
		current.values[key] = value
	}
	if len(all) == 0 {
		t.Fatalf("%s has no alerts", alertRules)
	}
	return all
}

func indentation(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// indented are the lines that are indented by more, without the first one's indentation.
func indented(lines []string, by int) (block []string, read int) {
	for _, line := range lines {
		if indentation(line) <= by {
			break
		}
		block = append(block, line[min(indentation(lines[0]), indentation(line)):])
	}
	return block, len(block)
}

var template = regexp.MustCompile(`\{\{ *\$(value|labels\.(\w+))(?: *\| *(\w+))? *\}\}`)

// forPeople puts words where Prometheus puts values.
func forPeople(s string) string {
	return template.ReplaceAllStringFunc(s, func(s string) string {
		switch m := template.FindStringSubmatch(s); {
		case m[2] != "":
			return strings.ToUpper(m[2])
		case m[3] == "humanizePercentage":
			return "N %"
		}
		return "N"
	})
}

// forwardAlerts stand in the runbook only, not in the on-call's table: few have a forward, and docs/forward.md names
// them.
const forwardAlerts = "Does what is stored get to where it is forwarded?"

// TestDocsAlerts: the runbook, and the on-call's table of alerts, say what alerts.yml says.
func TestDocsAlerts(t *testing.T) {
	var book, table strings.Builder
	table.WriteString("| alert | severity | |\n|---|---|---|\n")
	group := ""
	for _, a := range alerts(t) {
		if a.group != group {
			group = a.group
			fmt.Fprintf(&book, "## %s\n\n", group)
		}
		text := func(key string) string { return testkit.Markup(runbook, forPeople(a.values[key])) }
		fmt.Fprintf(&book, "### %s\n\n%s\n", a.name, wrapped("*"+a.values["severity"]+"*: "+text("summary")+"."))
		for _, paragraph := range []string{text("description"), "**Look:** " + text("look"), "**Do:** " + text("action")} {
			book.WriteString(wrapped(paragraph) + "\n")
		}
		fmt.Fprintf(&book, "```promql\n%s\n```\n\n", a.values["expr"])
		if a.group == forwardAlerts {
			continue
		}
		fmt.Fprintf(&table, "| [%s](%s#%s) | %s | %s |\n", a.name, runbook, strings.ToLower(a.name), a.values["severity"],
			testkit.Markup(operations, forPeople(a.values["summary"])))
	}
	testkit.Section(t, runbook, "alerts", book.String(), *update)
	testkit.Section(t, operations, "alerts", table.String(), *update)
}

// wrapped breaks a paragraph into lines that fit.
func wrapped(text string) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column == 0:
		case column+1+len(word) > maxColumns:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteByte('\n')
	return b.String()
}
