package repocheck

import (
	"fmt"
	"go/ast"
	"go/token"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/named"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/verdict"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/tlsserver"
)

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// pagesOf explain the settings that begin so, which the on-call's list leaves to them.
var pagesOf = map[string]string{
	"KAFKA": "docs/engines/kafka.md", "NATS": "docs/engines/jetstream.md", "JETSTREAM": "docs/engines/jetstream.md",
	"TLS": "docs/tls.md", "MIRROR": "docs/mirror.md", "FORWARD": "docs/forward.md", "POSTGRES": "docs/engines/postgres.md",
	"DRAIN": "docs/balancers.md", "UNLISTED": "docs/sizing.md", "REDIS": "docs/redis.md",
}

// TestDocsSettings: the pages say of the settings what --help says.
func TestDocsSettings(t *testing.T) {
	page := reference + "settings.md"
	var table, list strings.Builder
	table.WriteString("| variable | default | meaning |\n|---|---|---|\n")
	listed := map[string]bool{}
	for _, s := range config.Settings {
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", s.Name, code(s.Default), testkit.Markup(page, s.Help))
		entry := strings.TrimSpace(code(s.Name) + " " + s.Default)
		if group, _, _ := strings.Cut(s.Name, "_"); pagesOf[group] != "" {
			entry = fmt.Sprintf("[%s_…](%s)", group, pagesOf[group])
		}
		if listed[entry] || s.OfSecret != "" {
			continue
		}
		if listed[entry] = true; list.Len() > 0 {
			list.WriteString(" · ")
		}
		list.WriteString(entry)
	}
	testkit.Section(t, page, "settings", table.String(), *update)
	testkit.Section(t, operations, "settings", wrapped(list.String()), *update)
}

// declared are a package's constants or variables whose names begin with a prefix, each with its text and comment.
type declared struct{ name, text, comment string }

func declarations(t *testing.T, dir string, tok token.Token, prefix string) (all []declared) {
	t.Helper()
	for _, f := range sources(t, dir) {
		for _, d := range f.syntax.Decls {
			group, ok := d.(*ast.GenDecl)
			if !ok || group.Tok != tok {
				continue
			}
			for _, s := range group.Specs {
				spec := s.(*ast.ValueSpec)
				if len(spec.Values) == 0 || !strings.HasPrefix(spec.Names[0].Name, prefix) {
					continue
				}
				value := spec.Values[0]
				if call, ok := value.(*ast.CallExpr); ok && len(call.Args) > 0 {
					value = call.Args[0] // errors.New("…")
				}
				if s, ok := text(value); ok {
					comment := strings.Join(strings.Fields(spec.Doc.Text()+group.Doc.Text()), " ")
					if group.Lparen.IsValid() {
						comment = strings.Join(strings.Fields(spec.Doc.Text()), " ")
					}
					all = append(all, declared{spec.Names[0].Name, s, comment})
				}
			}
		}
	}
	if len(all) == 0 {
		t.Fatalf("nothing in %s begins with %s", dir, prefix)
	}
	return all
}

// TestDocsCloseReasons: the page says what the reasons' comments say.
func TestDocsCloseReasons(t *testing.T) {
	page := reference + "close-reasons.md"
	var b strings.Builder
	b.WriteString("| reason | meaning | worry? |\n|---|---|---|\n")
	for _, dir := range []string{"internal/ingest", "internal/teltonikasession"} {
		for _, reason := range declarations(t, dir, token.CONST, "Reason") {
			meaning, worry, found := strings.Cut(reason.comment, " Worry: ")
			if !found {
				t.Errorf("the comment of %s does not say whether to worry", reason.name)
			}
			worry = strings.TrimSuffix(worry, ".")
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", reason.text, testkit.Markup(page, meaning), testkit.Markup(page, worry))
		}
	}
	testkit.Section(t, page, "close reasons", b.String(), *update)
}

// TestDocsErrors: the page says what the errors' comments say. Its other table, of what follows from each, is held to
// the code in internal/teltonikasession.
func TestDocsErrors(t *testing.T) {
	page := reference + "errors.md"
	var b strings.Builder
	b.WriteString("| error | text | meaning |\n|---|---|---|\n")
	for _, dir := range []string{"teltonika", "internal/record", "internal/publish", "internal/engine"} {
		for _, e := range declarations(t, dir, token.VAR, "Err") {
			if e.comment == "" {
				t.Errorf("%s of %s has no comment", e.name, dir)
			}
			name := dir[strings.LastIndexByte(dir, '/')+1:] + "." + e.name
			meaning := strings.TrimPrefix(e.comment, e.name+": ")
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, e.text, testkit.Markup(page, meaning))
		}
	}
	testkit.Section(t, page, "errors", b.String(), *update)
}

// The page for fleet owners explains every reason for which a TLS handshake fails, and no other.
func TestTLSReasonsAreDocumented(t *testing.T) {
	inCode := make(map[string]bool)
	for _, reason := range tlsserver.Reasons {
		inCode[string(reason)] = true
	}
	wantSame(t, inCode, firstCells(chapterOf(t, "docs/tls.md", "## What fails how")), "docs/tls.md", "TLS reason")
}

// TestDocsVerdicts: the page says what the table of verdicts says.
func TestDocsVerdicts(t *testing.T) {
	page := reference + "verdicts.md"
	var b strings.Builder
	b.WriteString("| verdict | it is | what it means | next |\n|---|---|---|---|\n")
	for _, d := range verdict.Descriptions() {
		severity := map[verdict.Severity]string{verdict.Fine: "fine", verdict.Problem: "a problem",
			verdict.Unknown: "never seen"}[d.Severity]
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", d.Code, severity, testkit.Markup(page, d.Text),
			testkit.Markup(page, d.Next))
	}
	testkit.Section(t, page, "verdicts", b.String(), *update)
}

// TestDocsNames: the page has the named commands that are built in.
func TestDocsNames(t *testing.T) {
	var table strings.Builder
	table.WriteString("| name | families | text | | |\n|---|---|---|---|---|\n")
	for _, r := range named.Embedded().Rows("") {
		dangerous := ""
		if r.Dangerous() {
			dangerous = "dangerous"
		}
		fmt.Fprintf(&table, "| `%s` | %s | `%s` | %s | %s |\n", r.Name, strings.Join(r.Match, ", "), r.Text(), r.Does,
			dangerous)
	}
	testkit.Section(t, "docs/named-commands.md", "names", table.String(), *update)
}
