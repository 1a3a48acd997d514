package testkit

import (
	"path/filepath"
	"regexp"
	"strings"
)

// named is what a text of the program names: a page, perhaps with a heading, an alert, a metric, a setting.
var named = regexp.MustCompile(`((?:OPERATIONS|docs/[a-z/-]+)\.md)(#[a-z0-9_-]+)?|\b(Ingestion[A-Z]\w+)` +
	`|\b(?:teltonika|telemetry|process|go)_[a-z0-9_]+|\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?:=\w+)?`)

// Markup makes Markdown for a page of a text of the program: pages and alerts become links, metrics and settings code.
// What stands between backquotes stays as it is.
func Markup(page, text string) string {
	parts := strings.Split(text, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = named.ReplaceAllStringFunc(parts[i], func(s string) string {
			switch m := named.FindStringSubmatch(s); {
			case m[1] != "":
				return linkTo(page, m[1], m[2])
			case m[3] != "":
				return "[" + s + "](" + relative(page, "docs/runbook.md") + "#" + strings.ToLower(s) + ")"
			}
			return "`" + s + "`"
		})
	}
	return strings.Join(parts, "`")
}

func linkTo(page, file, anchor string) string {
	label := strings.TrimSuffix(filepath.Base(file), ".md")
	if anchor != "" {
		label = anchor[1:]
	}
	return "[" + strings.ReplaceAll(label, "-", " ") + "](" + relative(page, file) + anchor + ")"
}

// relative is the way from a page to a file, both seen from the repository's root.
func relative(page, file string) string {
	if page == file {
		return ""
	}
	way, err := filepath.Rel(filepath.Dir(page), file)
	if err != nil {
		panic(err) // both are relative
	}
	return filepath.ToSlash(way)
}

// Brief is a text's first clause, for the tables that have a line for each thing.
func Brief(text string) string {
	if end := regexp.MustCompile(`[.:;](\s|$)| \(`).FindStringIndex(text); end != nil {
		text = text[:end[0]]
	}
	return text
}
