package meaning

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var nameForm = regexp.MustCompile(`^[a-z0-9]+(\.[a-z0-9]+)*$`)

// TestInvariants is what every version of the dictionary keeps.
func TestInvariants(t *testing.T) {
	type place struct {
		f      Family
		id     uint16
		w      Width
		models string
	}
	type named struct {
		f    Family
		name string
	}
	places, ids, units := map[place]string{}, map[named]uint16{}, map[string]string{}
	rows := 0
	for d := range Embedded().Definitions() {
		rows++
		what := fmt.Sprintf("%d of width %v, %s", d.ID, d.Width, d.Name)
		if !nameForm.MatchString(d.Name) || len(d.Name) > MaxName {
			t.Errorf("%s: the name is not one", what)
		}
		if unit, known := units[d.Name]; known && unit != d.Unit {
			t.Errorf("%s: in %q and in %q", what, d.Unit, unit)
		}
		units[d.Name] = d.Unit
		if len(d.Families) == 0 || d.Title == "" || d.Source == "" || d.Confidence == OwnDefinition {
			t.Errorf("%s: no family, title, source or confidence", what)
		}
		for _, f := range d.Families {
			p := place{f, d.ID, d.Width, strings.Join(d.Models, " ")}
			if other, there := places[p]; there {
				t.Errorf("%s: of %v is also %s", what, f, other)
			}
			places[p] = d.Name
			if id, there := ids[named{f, d.Name}]; there && id != d.ID {
				t.Errorf("%s: the name is also that of %d", what, id)
			}
			ids[named{f, d.Name}] = d.ID
		}
		checkFits(t, what, d)
	}
	if rows < 3430 {
		t.Errorf("%d rows", rows)
	}
}

// checkFits looks at what has to fit the width. Reading the dictionary checks most of it; this does not rely on that.
func checkFits(t *testing.T, what string, d *Definition) {
	t.Helper()
	bits := 64
	if d.Width != WidthX {
		bits = 8 * d.Width.Size()
	}
	fits := func(n int64) bool {
		switch {
		case d.Signed:
			return bits == 64 || n >= -1<<(bits-1) && n < 1<<(bits-1)
		case n < 0:
			return false
		}
		return bits == 64 || n < 1<<bits
	}
	for _, w := range d.Enum {
		if !fits(w.Number) {
			t.Errorf("%s: no number %d", what, w.Number)
		}
	}
	for _, i := range d.Invalid {
		if !fits(i.Number) {
			t.Errorf("%s: no error code %d", what, i.Number)
		}
	}
	for _, b := range d.Flags {
		if int(b.High) >= bits {
			t.Errorf("%s: no bit %d", what, b.High)
		}
	}
	if (d.Type == Enum) != (len(d.Enum) > 0) || (d.Type == Flags) != (len(d.Flags) > 0) {
		t.Errorf("%s: words without their type, or the type without words", what)
	}
}

// TestNamesReadWell: no name is one that a program has made up or cut off.
func TestNamesReadWell(t *testing.T) {
	madeUp := regexp.MustCompile(`\.io\d+(\.|$)`)
	for d := range Embedded().Definitions() {
		if madeUp.MatchString(d.Name) {
			t.Errorf("%d: %s", d.ID, d.Name)
		}
		title := words(d.Title)
		last := d.Name[strings.LastIndexByte(d.Name, '.')+1:]
		cut := func(word string) bool { return word != last && strings.HasPrefix(word, last) }
		if len(d.Name) > 48 && !slices.Contains(title, last) && slices.ContainsFunc(title, cut) {
			t.Errorf("%d: %s is cut off: %s", d.ID, d.Name, d.Title)
		}
	}
}

var noLetters = regexp.MustCompile(`[^a-z0-9]+`)

func words(s string) []string { return noLetters.Split(strings.ToLower(s), -1) }

// TestScaledIDs: the ids that are looked at for proof of the new scale are those that have an old one.
func TestScaledIDs(t *testing.T) {
	for d := range Embedded().Definitions() {
		legacy := slices.ContainsFunc(d.Invalid, func(i Invalid) bool { return i.Legacy })
		if is := d.ID >= firstScaled && d.ID <= lastScaled && d.Width == Width2; legacy && !is {
			t.Errorf("%d of width %v has an old scale", d.ID, d.Width)
		}
	}
}

func TestDictionaryThatIsNone(t *testing.T) {
	header := strings.Join(columns, "\t") + "\n"
	line := "1\t1\tdin.1\tDigital Input 1\tbool\t\t\t\t\t0\t1\t\t\t\tfmb fmx6\t\ttwo\t\tPermanent\t\twiki\n"
	if d, err := newDictionary(header + line); err != nil || len(d.definitions) != 1 {
		t.Fatal(err)
	}
	for _, text := range []string{
		"", "id\tname\n", header + "1\t1\n", header + strings.Replace(line, "bool", "boolean", 1),
		header + strings.Replace(line, "fmb fmx6", "fmb fmx7", 1), header + strings.Replace(line, "two", "three", 1),
	} {
		if _, err := newDictionary(text); err == nil {
			t.Errorf("no error: %q", text)
		}
	}
}
