package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/regularfile"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/secret"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/spelling"
)

// FileVariable is the environment variable that names a file of settings, and FileFlag the flag.
const (
	FileVariable = "CONFIG_FILE"
	FileFlag     = "config"
)

// maxFileBytes is many times what a file with every setting has.
const maxFileBytes = 1 << 20

// File is what a file of settings says: a YAML mapping of the names that the settings have in the environment.
type File struct {
	path     string
	found    map[string]Found
	problems problems
	unread   bool // it says less than is in it
	warnings []string
}

// ReadFile reads the file. What is wrong with it is told by Gather, with what is wrong with everything else.
func ReadFile(path string) *File {
	text, err := regularfile.Read(path, maxFileBytes)
	if err != nil {
		f := newFile(path)
		f.fail(0, err.Error()+"; name a file of settings that this user may read")
		return f
	}
	f := parseFile(path, text)
	for _, s := range Settings {
		if s.Secret && f.found[s.Name].Value != "" && secret.ReadableByAll(path) {
			f.warnings = append(f.warnings, fmt.Sprintf("%s: holds %s, and everybody may read it; chmod o-r", path, s.Name))
			break
		}
	}
	return f
}

func newFile(path string) *File {
	return &File{path: path, found: map[string]Found{}}
}

// fail says that what is in the file, or from a line on, cannot be read at all.
func (f *File) fail(line int, text string) {
	f.unread = true
	f.wrong(FileVariable, line, text)
}

// wrong notes a problem. Line 0 is the whole file.
func (f *File) wrong(setting string, line int, text string) {
	f.problems.add(setting, f.at(line), text)
}

func (f *File) at(line int) string {
	if line == 0 {
		return f.path
	}
	return fmt.Sprintf("%s:%d", f.path, line)
}

// parseFile reads the text. No more than one document of plain values and lists of them is taken, so that nothing in it
// can become larger than it is written.
func parseFile(path string, text []byte) *File {
	f := newFile(path)
	var document, further yaml.Node
	in := yaml.NewDecoder(bytes.NewReader(text))
	err := in.Decode(&document)
	if errors.Is(err, io.EOF) {
		return f // nothing but comments
	}
	if err == nil {
		if err = in.Decode(&further); err == nil {
			f.fail(further.Line, "is a second document; leave out the --- before it")
			return f
		}
	}
	if !errors.Is(err, io.EOF) {
		f.failSyntax(err)
		return f
	}
	f.takeAll(document.Content[0])
	return f
}

// maxProblems bounds what is told of a file that is something else.
const maxProblems = 50

func (f *File) takeAll(root *yaml.Node) {
	switch {
	case root.Kind == yaml.ScalarNode && root.Tag == "!!null":
		return
	case root.Kind != yaml.MappingNode:
		f.fail(root.Line, "is no list of settings; write one a line, as in TELTONIKA_PORT: 5027")
		return
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if len(f.problems.all) == maxProblems {
			f.fail(root.Content[i].Line, "is not read from here on; mend what is above first")
			return
		}
		f.take(root.Content[i], root.Content[i+1])
	}
}

// quoteIt is what to do about characters that YAML gives a meaning.
const quoteIt = "write one NAME: value a line, with ' before and after a value that has special characters"

// failSyntax puts an error of the parser in the words of all others. The parser quotes names of anchors, which may be
// passwords that begin with an asterisk.
func (f *File) failSyntax(err error) {
	line, text := 0, "it cannot be read"
	var e *yaml.LoadError
	if errors.As(err, &e) {
		line, text = e.Mark.Line, e.Message
		if e.Stage == yaml.ScannerStage && e.ContextMark.Line > 0 {
			line = e.ContextMark.Line
		}
		if e.Stage != yaml.ReaderStage && e.Stage != yaml.ScannerStage && e.Stage != yaml.ParserStage {
			text = "a value begins with * or &"
		}
	}
	f.fail(line, "is not YAML: "+text+"; "+quoteIt)
}

// take reads one setting.
func (f *File) take(key, value *yaml.Node) {
	name := key.Value
	if key.Kind != yaml.ScalarNode {
		f.wrong(FileVariable, key.Line, "a name of a setting is expected; "+quoteIt)
		return
	}
	i := slices.IndexFunc(Settings, func(s Setting) bool { return s.Name == name })
	switch _, twice := f.found[name]; {
	case i < 0 && value.Kind == yaml.MappingNode:
		f.wrong(shownName(name), key.Line, "has settings below it; write each by its whole name, on a line not indented")
	case i < 0:
		f.wrong(shownName(name), key.Line, "is no setting"+didYouMean(name)+"; config example prints them all")
	case twice:
		f.wrong(name, key.Line, fmt.Sprintf("is set before, in %s; leave one out", f.found[name].From))
	default:
		text, wrong := Settings[i].text(value)
		if wrong != "" {
			f.wrong(name, value.Line, wrong)
		}
		f.found[name] = Found{Value: text, From: f.at(key.Line)}
	}
}

// text is a value as the environment has it. wrong is what is wrong with its form; it quotes nothing of it.
func (s *Setting) text(value *yaml.Node) (text, wrong string) {
	switch {
	case value.Kind == yaml.AliasNode || value.Anchor != "" || value.Style&yaml.TaggedStyle != 0:
		return "", "begins with *, & or !; write ' before and after it"
	case value.Kind == yaml.MappingNode:
		return "", "has settings below it or begins with {; use one value, with ' before and after it if it begins so"
	case value.Kind == yaml.SequenceNode && !s.List:
		return "", "is a list; use one value"
	case value.Kind == yaml.SequenceNode:
		entries := make([]string, 0, len(value.Content))
		for _, entry := range value.Content {
			if entry.Kind != yaml.ScalarNode {
				return "", "has more than a value in an entry of its list; use one value for each entry"
			}
			text, wrong := s.text(entry)
			if wrong != "" {
				return "", "has an entry that " + wrong
			}
			entries = append(entries, text)
		}
		return strings.Join(entries, ","), ""
	case value.Tag == "!!null":
		return "", ""
	}
	return value.Value, ""
}

// didYouMean asks for the setting that is meant, if there is one much like the name.
func didYouMean(name string) string {
	names := make([]string, len(Settings))
	for i := range Settings {
		names[i] = Settings[i].Name
	}
	return spelling.DidYouMean(strings.ToUpper(strings.ReplaceAll(name, "-", "_")), names, "")
}

// shownName is a name that may be anything.
func shownName(name string) string {
	const shown = 64
	if len(name) > shown {
		name = name[:shown] + "..."
	}
	if strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.") != "" || name == "" {
		return fmt.Sprintf("%q", name)
	}
	return name
}
