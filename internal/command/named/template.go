package named

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// template is a command's text with parameters: {seconds:1-86400} is a whole number in that range, {value} a word. What
// stands in brackets is left out if its parameters are not given.
type template struct {
	source     string
	parts      []part
	parameters []Parameter
}

// Parameter is what a command needs to be told.
type Parameter struct {
	Name     string
	Min, Max int // of a whole number; both 0: a word
	Optional bool
}

// part is text as it is, or a parameter.
type part struct {
	text      string
	parameter string
	needs     string // it is left out unless this parameter is given; empty if it always stands
}

// What a text may have.
const (
	maxText       = 256 // bytes
	maxParameters = 8
	maxWord       = 128
)

var (
	placeholder = regexp.MustCompile(`\{([a-z][a-z0-9_]{0,31})(?::([0-9]{1,9})-([0-9]{1,9}))?\}`)
	// word is what a value may be, as of a setparam that is plain (package command): nothing that separates commands,
	// parameters or words.
	word      = regexp.MustCompile(`^[+-]?[A-Za-z0-9._]+$`)
	printable = regexp.MustCompile(`^[ -~]+$`)
	// firstWord is what says what the command does: no argument may change it.
	firstWord = regexp.MustCompile(`^[^ \[\]{}]+( |\[ |$)`)
)

func parseTemplate(source string) (t template, err error) {
	switch {
	case len(source) > maxText:
		return t, fmt.Errorf("has more than %d bytes", maxText)
	case !printable.MatchString(source) || strings.Contains(source, ";"):
		return t, errors.New("has to be one command of printable ASCII characters, without a semicolon")
	}
	if !firstWord.MatchString(source) {
		return t, errors.New("has to begin with the command's word, and a space before any parameter")
	}
	t.source = source
	for rest, optional := source, false; rest != ""; optional = !optional {
		end := "["
		if optional {
			end = "]"
		}
		text, after, found := strings.Cut(rest, end)
		if optional && !found || strings.ContainsAny(text, "[]") {
			return t, errors.New("has a bracket without its other half")
		}
		if err := t.add(text, optional); err != nil {
			return t, err
		}
		rest = after
	}
	return t, nil
}

// add takes a piece of text, all of it optional or none.
func (t *template) add(text string, optional bool) error {
	at, parts, parameters := 0, len(t.parts), len(t.parameters)
	for _, m := range placeholder.FindAllStringSubmatchIndex(text, -1) {
		p := Parameter{Name: text[m[2]:m[3]], Optional: optional}
		if m[4] >= 0 {
			p.Min, _ = strconv.Atoi(text[m[4]:m[5]])
			p.Max, _ = strconv.Atoi(text[m[6]:m[7]])
			if p.Min >= p.Max {
				return fmt.Errorf("has a parameter %s whose range is empty", p.Name)
			}
		}
		if slices.ContainsFunc(t.parameters, func(q Parameter) bool { return q.Name == p.Name }) {
			return fmt.Errorf("has two parameters %s", p.Name)
		}
		t.parts = append(t.parts, part{text: text[at:m[0]]}, part{parameter: p.Name})
		t.parameters = append(t.parameters, p)
		at = m[1]
	}
	t.parts = append(t.parts, part{text: text[at:]})
	for i := range t.parts[parts:] {
		p := &t.parts[parts+i]
		if strings.ContainsAny(p.text, "{}") {
			return errors.New("has a parameter that is neither {name} nor {name:1-9}, in small letters")
		}
		if optional && len(t.parameters) == parameters+1 {
			p.needs = t.parameters[parameters].Name
		}
	}
	switch {
	case optional && len(t.parameters) != parameters+1:
		return errors.New("needs one parameter between brackets")
	case len(t.parameters) > maxParameters:
		return fmt.Errorf("has more than %d parameters", maxParameters)
	}
	return nil
}

// fill is the text with the arguments. A text cannot become two commands by them, nor another one.
func (t *template) fill(args map[string]string) (string, error) {
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if !slices.ContainsFunc(t.parameters, func(p Parameter) bool { return p.Name == name }) {
			return "", fmt.Errorf("has %.32q, which %q does not take", name, t.source)
		}
	}
	for _, p := range t.parameters {
		value, given := args[p.Name]
		if err := p.check(value); (given || !p.Optional) && err != nil {
			return "", err
		}
	}
	var b strings.Builder
	for _, p := range t.parts {
		switch _, given := args[p.needs]; {
		case p.needs != "" && !given:
		case p.parameter != "":
			b.WriteString(args[p.parameter])
		default:
			b.WriteString(p.text)
		}
	}
	return b.String(), nil
}

// check says why a value cannot be sent.
func (p *Parameter) check(value string) error {
	if p.Max == 0 {
		if len(value) > maxWord || !word.MatchString(value) {
			return fmt.Errorf("need %s: up to %d letters, digits, dots and underscores, perhaps with + or - before them",
				p.Name, maxWord)
		}
		return nil
	}
	n, err := strconv.Atoi(value)
	if err != nil || value != strconv.Itoa(n) || n < p.Min || n > p.Max {
		return fmt.Errorf("need %s: a whole number from %d to %d", p.Name, p.Min, p.Max)
	}
	return nil
}

// example is the text with the least arguments.
func (t *template) example() string {
	args := map[string]string{}
	for _, p := range t.parameters {
		if args[p.Name] = strconv.Itoa(p.Min); p.Optional {
			delete(args, p.Name)
		}
	}
	text, _ := t.fill(args)
	return text
}
