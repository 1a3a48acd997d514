package repocheck

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// source is a file of the program.
type source struct {
	path   string
	syntax *ast.File
}

var positions = token.NewFileSet()

// sources are the program's files below the directories, without what serves tests only.
func sources(t *testing.T, dirs ...string) []source {
	t.Helper()
	var all []source
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() && (d.Name() == "testkit" || strings.HasSuffix(d.Name(), "test") || d.Name() == "testdata") {
				return filepath.SkipDir
			}
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return nil
			}
			f, err := parser.ParseFile(positions, path, nil, parser.ParseComments)
			all = append(all, source{path, f})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// text is a constant string that is written out.
func text(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	s, err := strconv.Unquote(lit.Value)
	return s, err == nil
}

// logCall is a call of a logger: the level ("" for With), the message, the attributes.
type logCall struct {
	at      token.Position
	level   string
	message ast.Expr
	rest    []ast.Expr
}

var logger = regexp.MustCompile(`(?i)^(slog|.*log|.*logger)$`)

func asLogCall(n ast.Node) (logCall, bool) {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return logCall{}, false
	}
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || !logger.MatchString(lastName(method.X)) && method.Sel.Name != "With" {
		return logCall{}, false
	}
	level := strings.ToLower(strings.TrimSuffix(method.Sel.Name, "Context"))
	c := logCall{at: positions.Position(call.Pos()), level: level}
	args := call.Args
	if strings.HasSuffix(method.Sel.Name, "Context") && len(args) > 0 {
		args = args[1:]
	}
	switch c.level {
	case "debug", "info", "warn", "error":
	case "log":
		if len(args) < 3 {
			return c, false
		}
		c.level, args = levelName(args[1]), args[2:]
	case "with":
		c.level, c.rest = "", args
		return c, true
	default:
		return c, false
	}
	c.message, c.rest = args[0], args[1:]
	return c, true
}

// lastName is the last part of a.b.c, and of a call the function's.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.CallExpr:
		return lastName(e.Fun)
	}
	return ""
}

// levelName is slog.LevelWarn as "warn", and whatever is found out as it is logged as several.
func levelName(e ast.Expr) string {
	name, constant := strings.CutPrefix(lastName(e), "Level")
	if !constant {
		return severalLevels
	}
	return strings.ToLower(name)
}

// severalLevels is the level of a message that has one or another. The page says which: "warn or debug".
const severalLevels = "several"

// disposition is a line of the table from error to action, whose messages are not where they are logged.
func disposition(n ast.Node) (level, message string, ok bool) {
	lit, isLit := n.(*ast.CompositeLit)
	if !isLit {
		return "", "", false
	}
	level = "debug"
	for _, e := range lit.Elts {
		if kv, isKV := e.(*ast.KeyValueExpr); isKV {
			switch lastName(kv.Key) {
			case "level":
				level = levelName(kv.Value)
			case "log":
				message, ok = text(kv.Value)
			}
		}
	}
	return level, message, ok
}

var (
	plainMessage = regexp.MustCompile(`^[a-z0-9][^A-Z\n]*[^.!\s]$`)
	plainKey     = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	tableMessage = "d.log" // the one message that is not written where it is logged
)

// TestDocsLog holds the page's tables of messages and fields to the code, and the code to constant lower-case messages.
func TestDocsLog(t *testing.T) {
	messages := make(map[string]bool)
	fields := map[string]bool{"time": true, "level": true, "msg": true, "suppressed": true}
	for _, f := range sources(t, "cmd", "internal") {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if level, message, ok := disposition(n); ok {
				messages[level+": "+message] = true
			}
			c, ok := asLogCall(n)
			if !ok {
				return true
			}
			for i := 0; i+1 < len(c.rest); i += 2 {
				key, ok := text(c.rest[i])
				if !ok || !plainKey.MatchString(key) {
					t.Errorf("%v: field %d has no constant lower-case name", c.at, i/2)
				}
				fields[key] = true
			}
			if c.message == nil {
				return true
			}
			message, ok := text(c.message)
			if sel, isSel := c.message.(*ast.SelectorExpr); isSel && lastName(sel.X)+"."+sel.Sel.Name == tableMessage {
				return true
			}
			if !ok || !plainMessage.MatchString(message) {
				t.Errorf("%v: the message is not a constant in lower case", c.at)
			}
			messages[c.level+": "+message] = true
			return true
		})
	}
	if len(messages) < 20 || len(fields) < 20 {
		t.Fatalf("only %d messages and %d fields found", len(messages), len(fields))
	}
	wantMessages(t, messages)
	fieldTable := chapterOf(t, logPage, "## Fields")
	wantOnce(t, logPage, fieldTable)
	wantSame(t, fields, firstCells(fieldTable), logPage, "log field")
}

// logPage has the messages' meanings, which stand nowhere else.
const logPage = reference + "log.md"

// wantMessages holds the page's table to the messages, each "level: message": what they mean stays as it is.
func wantMessages(t *testing.T, messages map[string]bool) {
	t.Helper()
	type line struct{ level, meaning string }
	onPage := make(map[string]line)
	for _, row := range rows(chapterOf(t, logPage, "## Messages")) {
		level := row[1]
		if strings.Contains(level, " or ") {
			level = severalLevels
		}
		onPage[row[0]+"\x00"+level] = line{row[1], row[2]}
	}
	var keys []string
	for m := range messages {
		level, message, _ := strings.Cut(m, ": ")
		keys = append(keys, message+"\x00"+level)
	}
	slices.Sort(keys)
	var b strings.Builder
	b.WriteString("| message | level | meaning, what to do |\n|---|---|---|\n")
	for _, key := range keys {
		message, level, _ := strings.Cut(key, "\x00")
		l := onPage[key]
		if l.level != "" {
			level = l.level
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", message, level, l.meaning)
		if l.meaning == "" || level == severalLevels {
			t.Errorf("%s: write what %q means, and at which levels it is logged, into its line of the table", logPage, message)
		}
	}
	testkit.Section(t, logPage, "messages", b.String(), *update)
}

// TestNothingPrintsPastTheLogger: production code writes to its logger, and commands to the writer that they are
// given.
func TestNothingPrintsPastTheLogger(t *testing.T) {
	for _, f := range sources(t, "cmd", "internal", "teltonika") {
		for _, i := range f.syntax.Imports {
			if i.Path.Value == `"log"` {
				t.Errorf("%s imports log", f.path)
			}
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				name := lastName(n.X) + "." + n.Sel.Name
				standard := name == "os.Stdout" || name == "os.Stderr"
				if name == "fmt.Print" || name == "fmt.Println" || name == "fmt.Printf" ||
					standard && f.path != filepath.Join("cmd", "tcp-ingestion", "main.go") {
					t.Errorf("%v: %s", positions.Position(n.Pos()), name)
				}
			case *ast.CallExpr:
				if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") {
					t.Errorf("%v: %s", positions.Position(n.Pos()), id.Name)
				}
			}
			return true
		})
	}
}
