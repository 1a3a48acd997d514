package teltonikasession

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// decoding is how the protocol's errors arrive.
func decoding(err error) error { return fmt.Errorf("frame: %w", &teltonika.Error{Err: err}) }

// action is a disposition in short: what is counted, what is kept, what is answered, what is closed.
type action struct {
	result     string
	refused    string
	deadLetter string
	answer     bool
	close      ingest.CloseReason
}

// actions has every error that can end a frame, by its name where it has one.
var actions = map[string]struct {
	err  error
	want action
}{
	"teltonika.ErrLogin":    {decoding(teltonika.ErrLogin), action{result: "malformed", close: ReasonBadFrame}},
	"teltonika.ErrPreamble": {decoding(teltonika.ErrPreamble), action{result: "malformed", close: ReasonBadFrame}},
	"teltonika.ErrLength":   {decoding(teltonika.ErrLength), action{result: "malformed", close: ReasonBadFrame}},
	"teltonika.ErrCRC":      {decoding(teltonika.ErrCRC), action{result: "crc_fail", close: ReasonCRC}},
	"teltonika.ErrUnknownCodec": {decoding(teltonika.ErrUnknownCodec),
		action{result: "unknown_codec", deadLetter: "unknown_codec", close: ReasonUnknownCodec}},
	"teltonika.ErrOverrun":  {decoding(teltonika.ErrOverrun), kept},
	"teltonika.ErrTrailing": {decoding(teltonika.ErrTrailing), kept},
	"teltonika.ErrCount":    {decoding(teltonika.ErrCount), kept},
	// These do not come from a frame that is whole. If one ever does, the frame is kept and the device not stuck.
	"teltonika.ErrIncomplete": {decoding(teltonika.ErrIncomplete), kept},
	"teltonika.ErrEncode":     {decoding(teltonika.ErrEncode), kept},

	"a message's ErrOverrun": {&messageError{decoding(teltonika.ErrOverrun)},
		action{result: "malformed", deadLetter: "malformed"}},
	"a message's ErrCount": {&messageError{decoding(teltonika.ErrCount)},
		action{result: "malformed", deadLetter: "malformed"}},

	"publish.ErrOverflow": {publish.ErrOverflow, action{result: "overflow", refused: "overflow"}},
	"datagram rate":       {errDatagramRate, action{result: "overflow", refused: "overflow"}},

	"publish.ErrTimeout": {publish.ErrTimeout, action{result: "publish_error", refused: "timeout"}},
	"publish.ErrClosed":  {publish.ErrClosed, action{result: "publish_error", refused: "draining"}},

	"large frame budget": {errBudget, action{result: "overflow", close: ReasonOverload}},

	"unlisted rate":     {errUnlistedRate, action{result: "overflow", refused: "unlisted"}},
	"dead letter limit": {errDeadLetterLimit, action{result: "malformed", refused: "dead_letters"}},

	"engine.Error":           {&engine.Error{Err: errEngine}, failed},
	"engine.Error transient": {&engine.Error{Transient: true, Err: errEngine}, failed},
	"engine.Error ambiguous": {fmt.Errorf("item: %w", &engine.Error{Ambiguous: true, Err: errEngine}), failed},
	"engine.ErrTooLarge": {&engine.Error{Err: fmt.Errorf("item: %w", engine.ErrTooLarge)},
		action{result: "publish_error", deadLetter: "too_large", answer: true}},
	"engine.ErrMovedOn": {&engine.Error{Err: engine.ErrMovedOn},
		action{result: "publish_error", refused: "moved_on", close: ingest.ReasonTakenOver}},
	"engine.ErrDurability":    {engine.ErrDurability, failed}, // of Inspect, never of a frame
	"engine.ErrTurn":          {engine.ErrTurn, failed},       // of a Consumer, likewise
	"an error nobody foresaw": {errors.New("surprise"), failed},
}

var (
	kept   = action{result: "malformed", deadLetter: "malformed", answer: true}
	failed = action{result: "publish_error", refused: "engine"}
)

func TestDispositionOfEveryError(t *testing.T) {
	hit := make(map[*disposition]bool)
	for name, c := range actions {
		v := dispositionOf(c.err)
		hit[v] = true
		if got := (action{v.result, v.refused, v.deadLetter, v.answer, v.close}); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	for i := range dispositions {
		if v := &dispositions[i]; !hit[v] {
			t.Errorf("no error has the disposition %q", v.log)
		}
	}
}

// An error that is added to one of the packages below needs a line above.
func TestDispositionTableKnowsEveryError(t *testing.T) {
	for pkg, dir := range map[string]string{"teltonika": "../../teltonika", "publish": "../publish",
		"engine": "../engine"} {
		for _, name := range exportedErrors(t, dir) {
			if _, ok := actions[pkg+"."+name]; !ok {
				t.Errorf("%s.%s has no line in this test: only %v", pkg, name, slices.Sorted(maps.Keys(actions)))
			}
		}
	}
}

// exportedErrors are the names of a package's variables that begin with Err.
func exportedErrors(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files in %s, %v", len(files), dir, err)
	}
	for _, path := range files {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR || strings.HasSuffix(path, "_test.go") {
				continue
			}
			for _, spec := range g.Specs {
				for _, id := range spec.(*ast.ValueSpec).Names {
					if strings.HasPrefix(id.Name, "Err") {
						names = append(names, id.Name)
					}
				}
			}
		}
	}
	return names
}

// What a disposition asks for has to be possible together: only a frame that is kept can be answered, and one that is
// refused is neither.
func TestDispositionsAreConsistent(t *testing.T) {
	for _, v := range dispositions {
		if v.result == "" || v.log == "" {
			t.Errorf("%+v lacks result or log", v)
		}
		if v.answer && v.deadLetter == "" {
			t.Errorf("%q answers a frame that is not stored", v.log)
		}
		if v.refused != "" && (v.answer || v.deadLetter != "") {
			t.Errorf("%q refuses and keeps", v.log)
		}
		if v.answer && v.close != "" {
			t.Errorf("%q answers and closes", v.log)
		}
	}
}
