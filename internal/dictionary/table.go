// Package dictionary shows people what elements mean: the dictionary as a table, what a file of overrides changes, how
// one device's elements are read, and what of the stored records nothing names.
package dictionary

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// Filter chooses rows. The zero value chooses all.
type Filter struct {
	Identity meaning.Identity // rows for the family; with a model those that its devices have
	ID       *uint16
}

// Rows are the rows that the filter chooses, in the dictionary's order.
func (f Filter) Rows(d *meaning.Dictionary) (rows []*meaning.Definition) {
	for row := range d.Definitions() {
		if f.ID != nil && *f.ID != row.ID {
			continue
		}
		family, model := f.Identity.Family, f.Identity.Model
		if family != 0 && !slices.Contains(d.Lookup(family, model, row.ID, row.Width), row) {
			continue
		}
		rows = append(rows, row)
	}
	return rows
}

// columns are those of the dictionary's own file, and of a file of overrides.
var columns = []string{
	"id", "width", "name", "title", "type", "signed", "multiplier", "offset", "unit", "min", "max", "enum", "flags",
	"invalid", "families", "models", "confidence", "implied_multiplier", "group", "note", "source",
}

// fields are a row's, in the order of the columns.
func fields(d *meaning.Definition) []string {
	signed := ""
	if d.Signed {
		signed = "1"
	}
	return []string{
		strconv.Itoa(int(d.ID)), d.Width.String(), d.Name, d.Title, d.Type.String(), signed, d.Multiplier, d.Offset, d.Unit,
		d.Min, d.Max, wordsText(d.Enum), flagsText(d.Flags), invalidText(d.Invalid), strings.Join(familyNames(d), " "),
		strings.Join(d.Models, " "), d.Confidence.String(), d.ImpliedMultiplier, d.Group, d.Note, d.Source,
	}
}

func familyNames(d *meaning.Definition) []string {
	names := make([]string, len(d.Families))
	for i, f := range d.Families {
		names[i] = f.String()
	}
	return names
}

func wordsText(words []meaning.Word) string {
	var all []string
	for _, w := range words {
		all = append(all, fmt.Sprintf("%d=%s", w.Number, w.Text))
	}
	return strings.Join(all, "|")
}

func flagsText(flags []meaning.Bits) string {
	var all []string
	for _, b := range flags {
		all = append(all, bitsText(b)+"="+b.Text)
	}
	return strings.Join(all, "|")
}

func bitsText(b meaning.Bits) string {
	if b.Low == b.High {
		return strconv.Itoa(int(b.Low))
	}
	return fmt.Sprintf("%d-%d", b.Low, b.High)
}

func invalidText(invalid []meaning.Invalid) string {
	var all []string
	for _, i := range invalid {
		mark := ""
		if i.Legacy {
			mark = "?"
		}
		all = append(all, fmt.Sprintf("%d%s:%s", i.Number, mark, i.Reason))
	}
	return strings.Join(all, "|")
}

// WriteTSV writes rows with tabs between the fields, and a header.
func WriteTSV(w io.Writer, rows []*meaning.Definition) error {
	out := bufio.NewWriter(w)
	fmt.Fprintln(out, strings.Join(columns, "\t"))
	for _, d := range rows {
		fmt.Fprintln(out, strings.Join(fields(d), "\t"))
	}
	return out.Flush()
}

// rowObject is a row as JSON. What is not there has no key.
type rowObject struct {
	ID         uint16            `json:"id"`
	Width      string            `json:"width"`
	Name       string            `json:"name"`
	Title      string            `json:"title"`
	Type       string            `json:"type"`
	Signed     bool              `json:"signed"`
	Multiplier string            `json:"multiplier,omitempty"` // decimals are texts, so that none is rounded
	Offset     string            `json:"offset,omitempty"`
	Unit       string            `json:"unit,omitempty"`
	Min        string            `json:"min,omitempty"`
	Max        string            `json:"max,omitempty"`
	Enum       map[string]string `json:"enum,omitempty"`           // word by number
	Flags      map[string]string `json:"flags,omitempty"`          // word by bit, or by bits as in 2-5
	Invalid    map[string]string `json:"invalid,omitempty"`        // reason by number
	Legacy     map[string]string `json:"legacy_invalid,omitempty"` // with the old scale only
	Families   []string          `json:"families"`
	Models     []string          `json:"models,omitempty"`
	Confidence string            `json:"confidence"`
	Group      string            `json:"group,omitempty"`
	Note       string            `json:"note,omitempty"`
	Source     string            `json:"source,omitempty"`
}

func newRowObject(d *meaning.Definition) rowObject {
	o := rowObject{
		ID: d.ID, Width: d.Width.String(), Name: d.Name, Title: d.Title, Type: d.Type.String(), Signed: d.Signed,
		Multiplier: d.Multiplier, Offset: d.Offset, Unit: d.Unit, Min: d.Min, Max: d.Max, Families: familyNames(d),
		Models: d.Models, Confidence: d.Confidence.String(), Group: d.Group, Note: d.Note, Source: d.Source,
		Enum: map[string]string{}, Flags: map[string]string{}, Invalid: map[string]string{},
		Legacy: map[string]string{},
	}
	for _, w := range d.Enum {
		o.Enum[strconv.FormatInt(w.Number, 10)] = w.Text
	}
	for _, b := range d.Flags {
		o.Flags[bitsText(b)] = b.Text
	}
	for _, i := range d.Invalid {
		reasons := o.Invalid
		if i.Legacy {
			reasons = o.Legacy
		}
		reasons[strconv.FormatInt(i.Number, 10)] = i.Reason
	}
	return o
}

// WriteJSON writes one object a row and line.
func WriteJSON(w io.Writer, rows []*meaning.Definition) error {
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for _, d := range rows {
		if err := encoder.Encode(newRowObject(d)); err != nil {
			return err
		}
	}
	return out.Flush()
}
