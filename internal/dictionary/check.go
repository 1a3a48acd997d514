package dictionary

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// maxProblems bounds what is told of a broken file.
const maxProblems = 100

// Check reads a file of overrides, and says everything that is wrong in it, maxProblems at most. The dictionary is nil
// if anything is.
func Check(d *meaning.Dictionary, tsv string) (*meaning.Dictionary, []error) {
	var problems []error
	lines := strings.SplitAfter(tsv, "\n")
	for len(problems) < maxProblems {
		over, err := d.Override(strings.Join(lines, ""))
		if err == nil {
			if len(problems) > 0 {
				return nil, problems
			}
			return over, nil
		}
		problems = append(problems, err)
		var at *meaning.OverrideError
		if !errors.As(err, &at) || at.Line < 1 || at.Line > len(lines) || !isRow(lines[at.Line-1]) {
			break
		}
		lines[at.Line-1] = "\n" // and look on behind it
	}
	return nil, problems
}

// isRow reports whether the file can be read on without the line: not without its header.
func isRow(line string) bool {
	line = strings.TrimSpace(line)
	return line != "" && line[0] != '#' && !strings.HasPrefix(line, "match")
}

// Change is what a row of overrides does to an element.
type Change struct {
	Line          int
	Match         string
	Families      []meaning.Family
	ID            uint16
	Width         meaning.Width
	Before, After string // name, and where that is the same also how it is read
	Hint          string // what the user may have meant
}

// String is such as "line 2, imei:356307042441013: fmb 9/2: ain.1 → tank.level".
func (c Change) String() string {
	var families []string
	for _, f := range c.Families {
		families = append(families, f.String())
	}
	s := fmt.Sprintf("line %d, %s: %s %d/%v: %s → %s", c.Line, c.Match, strings.Join(families, ", "), c.ID, c.Width,
		c.Before, c.After)
	if c.Hint != "" {
		s += " (" + c.Hint + ")"
	}
	return s
}

// Changes are what the overrides of a dictionary change in the one that they lie over.
func Changes(before, after *meaning.Dictionary) (all []Change) {
	for row := range after.Overrides() {
		all = append(all, rowChanges(before, after, &row)...)
	}
	return all
}

func rowChanges(before, after *meaning.Dictionary, row *meaning.Override) (all []Change) {
	for _, f := range meaning.Families() {
		imei, model, of := matched(row.Match, f)
		if !of {
			continue
		}
		identity := meaning.Identity{Family: f, Model: model, By: meaning.ByMap}
		old := meaning.Resolve(before, imei, identity, new(meaning.Evidence)).Definitions(row.ID, row.Width)
		now := meaning.Resolve(after, imei, identity, new(meaning.Evidence)).Definitions(row.ID, row.Width)
		c := Change{Line: row.Line, Match: row.Match, ID: row.ID, Width: row.Width, Hint: hint(before, f, row)}
		c.Before, c.After = describe(old, now)
		i := slices.IndexFunc(all, func(o Change) bool {
			return o.Before == c.Before && o.After == c.After && o.Hint == c.Hint
		})
		if i < 0 {
			i, all = len(all), append(all, c)
		}
		all[i].Families = append(all[i].Families, f)
	}
	return all
}

// matched is a device of the family that the match is for, if there is one.
func matched(match string, f meaning.Family) (imei, model string, of bool) {
	kind, text, _ := strings.Cut(match, ":")
	switch kind {
	case "family":
		return "", "", text == f.String()
	case "model":
		own := meaning.FamilyOfModel(text)
		return "", text, own == f || own == 0
	case "imei":
		return strings.TrimSuffix(text, "*"), "", true
	}
	return "", "", true
}

// describe names what was and what is; if the names are the same, with how they are read.
func describe(old, now []*meaning.Definition) (before, after string) {
	before, after = namesOf(old, false), namesOf(now, false)
	if before == after {
		before, after = namesOf(old, true), namesOf(now, true)
	}
	if before != after || old == nil {
		return before, after
	}
	if wordsOf(old) == wordsOf(now) {
		return before, "the same"
	}
	return before, "the same with other words or error codes"
}

func wordsOf(definitions []*meaning.Definition) string {
	var all []string
	for _, d := range definitions {
		all = append(all, wordsText(d.Enum)+flagsText(d.Flags)+invalidText(d.Invalid))
	}
	return strings.Join(all, "\n")
}

func namesOf(definitions []*meaning.Definition, detailed bool) string {
	var all []string
	for _, d := range definitions {
		name := d.Name
		if detailed {
			name += " " + howRead(d)
		}
		all = append(all, name)
	}
	if all == nil {
		return "nothing"
	}
	return strings.Join(all, " or ")
}

// howRead is how a value is made of the number, such as "number ×0.001 V".
func howRead(d *meaning.Definition) string {
	s := d.Type.String()
	if d.Signed {
		s = "signed " + s
	}
	if d.Multiplier != "" && d.Multiplier != "1" {
		s += " ×" + d.Multiplier
	}
	if d.Offset != "" && d.Offset != "0" {
		s += " + " + d.Offset
	}
	if d.Unit != "" {
		s += " " + d.Unit
	}
	return s
}

// hint says if the family knows the id in other widths only.
func hint(d *meaning.Dictionary, f meaning.Family, row *meaning.Override) string {
	var others []string
	for w := meaning.Width1; w <= meaning.WidthX; w++ {
		if len(d.Lookup(f, "", row.ID, w)) == 0 {
			continue
		}
		if w == row.Width {
			return ""
		}
		others = append(others, w.String())
	}
	if others == nil {
		return ""
	}
	return fmt.Sprintf("known to be sent in width %s", strings.Join(others, " and "))
}
