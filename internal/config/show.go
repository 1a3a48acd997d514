package config

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Example is a file of settings with all of them, commented out, as the defaults are.
func Example() string {
	var b strings.Builder
	b.WriteString("# Settings of tcp-ingestion; what is commented out is as it is anyway. Flags and variables of the\n" +
		"# environment with the same names win over this file. Put ' before and after a value with special characters.\n")
	for _, group := range groupNames() {
		fmt.Fprintf(&b, "\n#### %s\n", group)
		for i := range Settings {
			if s := &Settings[i]; s.Group() == group {
				fmt.Fprintf(&b, "\n%s#%s: %s\n", comment(s.Help), s.Name, scalar(s.Default))
			}
		}
	}
	return b.String()
}

// groupNames are those of all settings, in the order in which their first ones are shown.
func groupNames() (names []string) {
	for i := range Settings {
		if group := Settings[i].Group(); !slices.Contains(names, group) {
			names = append(names, group)
		}
	}
	return names
}

// comment is text in lines that begin with # and a space.
func comment(text string) string {
	const columns = 100
	var b strings.Builder
	length := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case length == 0:
			b.WriteString("#")
			length = 1
		case length+1+len(word) > columns:
			b.WriteString("\n#")
			length = 1
		}
		b.WriteString(" " + word)
		length += 1 + len(word)
	}
	return b.String() + "\n"
}

// Show is a file of the settings in force, each with where it stands. Secrets are left out.
func (v *Values) Show() string {
	var b strings.Builder
	for i := range Settings {
		s := &Settings[i]
		f := v.found[s.Name]
		switch {
		case f.Value == "":
			fmt.Fprintf(&b, "#%s:\n", s.Name)
		case s.Secret:
			fmt.Fprintf(&b, "#%s: (hidden)  # %s\n", s.Name, oneLine(f.From))
		case f.From == "":
			fmt.Fprintf(&b, "%s: %s\n", s.Name, scalar(f.Value))
		default:
			fmt.Fprintf(&b, "%s: %s  # %s\n", s.Name, scalar(f.Value), oneLine(f.From))
		}
	}
	return b.String()
}

// plain are values that YAML takes as they are.
var plain = regexp.MustCompile(`^[A-Za-z0-9./][A-Za-z0-9._/{}+-]*(:[A-Za-z0-9._/{}+-]+)*$`)

// scalar is a value as YAML has it.
func scalar(value string) string {
	switch {
	case plain.MatchString(value):
		return value
	case strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }):
		return strconv.Quote(value)
	}
	return "'" + strings.ReplaceAll(value, "'", "''") + "'"
}

// oneLine is a place that ends no comment: paths may have any characters.
func oneLine(from string) string {
	quoted := strconv.Quote(from)
	return quoted[1 : len(quoted)-1]
}
