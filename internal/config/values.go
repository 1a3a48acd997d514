package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/secret"
)

// Found is a setting's value as text, and where it stands, for people.
type Found struct{ Value, From string }

// Source says what it has of a setting. ok is false if it leaves that to the next source.
type Source func(s *Setting) (f Found, ok bool)

// Environment has what is set there. What is set to nothing counts as not set, unless nothing means something.
func Environment(lookup func(name string) (value string, set bool)) Source {
	return func(s *Setting) (Found, bool) {
		value, set := lookup(s.Name)
		return Found{value, "environment"}, set && s.means(value)
	}
}

// Source has what the file says.
func (f *File) Source(s *Setting) (Found, bool) {
	found, ok := f.found[s.Name]
	return found, ok && s.means(found.Value)
}

// means reports whether a value says anything.
func (s *Setting) means(value string) bool { return strings.TrimSpace(value) != "" || s.IfEmpty != "" }

// Values are all settings as text, each with where it was found.
type Values struct {
	// Warnings are what need not be wrong, in words for people.
	Warnings []string

	found    map[string]Found
	problems problems
	ofFile   int  // how many of the problems are the file's own
	unread   bool // a source says less than is in it
}

// Gather asks the sources for each setting; the first one that has it counts. instead has the values of settings that
// none has. file is nil if there is none; it is the last source.
func Gather(file *File, instead map[string]string, sources ...Source) *Values {
	v := &Values{found: map[string]Found{}}
	if file != nil {
		sources = append(slices.Clone(sources), file.Source)
		v.problems, v.unread, v.Warnings = file.problems, file.unread, file.warnings
		v.ofFile = len(file.problems.all)
	}
	for i := range Settings {
		s := &Settings[i]
		f := first(s, sources)
		if f.Value == "" {
			f = Found{Value: cmp.Or(instead[s.Name], s.Default)}
		}
		v.found[s.Name] = f
	}
	v.readSecrets()
	return v
}

func first(s *Setting, sources []Source) Found {
	for _, source := range sources {
		if f, ok := source(s); ok {
			if f.Value = strings.TrimSpace(f.Value); f.Value == "" {
				f.Value = s.IfEmpty
			}
			return f
		}
	}
	return Found{}
}

// readSecrets has the secrets that are in files of their own, and warns of those that are anybody's.
func (v *Values) readSecrets() {
	for i := range Settings {
		s := &Settings[i]
		own, file := v.found[s.Name], v.found[s.File()]
		switch {
		case s.SecretFile && secret.ReadableByAll(own.Value):
			v.Warnings = append(v.Warnings, fmt.Sprintf("%s: everybody may read %s; chmod o-r", s.Name, own.Value))
		case !s.Secret || file.Value == "":
		case own.Value != "":
			v.problems.add(s.Name, own.From, fmt.Sprintf("set, and %s too%s; leave one out", s.File(), where(file.From)))
		case !s.readAgain:
			v.readSecret(s, file)
		}
	}
}

func (v *Values) readSecret(s *Setting, file Found) {
	value, err := secret.ReadFile(file.Value)
	if err != nil {
		v.unread = true
		v.problems.add(s.File(), file.From, err.Error()+"; set it to the path of a file that this user may read")
		return
	}
	v.found[s.Name] = Found{value, s.File()}
}

// Load makes the settings of the values. The error is an *Error that names every wrong setting.
func (v *Values) Load() (*Config, error) {
	c := &Config{}
	wrong := v.problems
	for i := range Settings {
		s := &Settings[i]
		f := v.Of(s.Name)
		if err := s.set(c, f.Value); err != nil {
			wrong.add(s.Name, f.From, s.describe(f.Value, err))
		}
	}
	if !v.unread { // what is not set may be in what could not be read
		each := wrong
		for _, p := range c.contradictions() {
			if !each.have(p.Setting) { // which has no value, then
				wrong.add(p.Setting, v.found[p.Setting].From, p.Text)
			}
		}
	}
	if len(wrong.all) > 0 {
		return nil, &Error{Problems: wrong.all, From: wrong.from}
	}
	return c, nil
}

// FileError is an *Error that names what is wrong with the file itself, nil if nothing is. For commands that need no
// more than one setting, which may do without Load.
func (v *Values) FileError() error {
	if v.ofFile == 0 {
		return nil
	}
	return &Error{Problems: v.problems.all[:v.ofFile], From: v.problems.from[:v.ofFile]}
}

// Of is the value of a setting by its name; From is empty if it is the default.
func (v *Values) Of(name string) Found { return v.found[name] }

// problems are wrong settings and, beside them, where they stand.
type problems struct {
	all  []Problem
	from []string
}

// have reports whether something is wrong with the setting.
func (p *problems) have(setting string) bool {
	return slices.ContainsFunc(p.all, func(one Problem) bool { return one.Setting == setting })
}

func (p *problems) add(setting, from, text string) {
	p.all, p.from = append(p.all, Problem{setting, text}), append(p.from, from)
}
