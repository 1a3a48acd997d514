package dictionary

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/explain"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/stored"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// Device gathers what is known of one device, to say how its elements are read.
type Device struct {
	IMEI       string
	Dictionary *meaning.Dictionary
	Identity   meaning.Identity  // beside the elements
	Kept       *meaning.Evidence // what the service has kept of its elements; nil: it has kept nothing

	own      meaning.Evidence // of its stored records
	latest   map[uint16]stored.Element
	records  int
	lost     bool             // widths of numbers
	said     meaning.Identity // by its records
	codec7   int
	lastTime string
}

// Add takes in a stored record of the device, the oldest first.
func (v *Device) Add(r *stored.Record) {
	if v.latest == nil {
		v.latest = map[uint16]stored.Element{}
	}
	v.records++
	v.lastTime = r.Timestamp
	if r.Codec == "7" {
		v.codec7++
	}
	for _, e := range r.Elements {
		v.latest[e.ID] = e
		if !e.Exact() {
			v.lost = true
			continue
		}
		v.own.Add(v.Dictionary, meaning.Element{ID: e.ID, Width: e.Widths[0], Number: e.Number})
	}
	if i := r.Identity(); i.Family != 0 {
		v.said = i
	}
}

// Explanation says how a device's elements are read, and why so.
type Explanation struct {
	IMEI       string   `json:"imei"`
	Family     string   `json:"family"`
	Model      string   `json:"model,omitempty"`
	Firmware   string   `json:"firmware,omitempty"`
	By         string   `json:"by"`
	Dict       string   `json:"dict"`
	Candidates []string `json:"candidates"`
	Scores     []score  `json:"scores"`
	Evidence   []pair   `json:"evidence"` // the pairs that tell families apart
	NewScale   bool     `json:"new_scale"`
	OldScale   bool     `json:"old_scale"`
	Records    int      `json:"records"`
	Last       string   `json:"last,omitempty"` // the device's time of the last record
	Kept       bool     `json:"kept"`           // the service's own memory of the device is in the evidence
	LostWidths bool     `json:"lost_widths"`
	Codec7     int      `json:"codec7_records,omitempty"`
	Elements   []row    `json:"elements"`
}

type score struct {
	Family    string  `json:"family"`
	Points    float64 `json:"points"`
	Candidate bool    `json:"candidate"`
}

type pair struct {
	ID    uint16   `json:"id"`
	Width string   `json:"width"`
	Known []string `json:"known_to"` // the families that know it in this width
}

// row is an element as it is read for the device.
type row struct {
	ID         uint16 `json:"id"`
	Width      string `json:"width"`
	Name       string `json:"name"`  // in brackets: why there is none
	Value      string `json:"value"` // of the last record, as sent, and what that means
	Title      string `json:"title,omitempty"`
	Type       string `json:"type,omitempty"`
	Confidence string `json:"confidence,omitempty"`
}

// Explain says how the device's elements are read.
func (v *Device) Explain() *Explanation {
	evidence := v.own.Clone()
	if v.Kept != nil {
		evidence.Merge(v.Dictionary, *v.Kept)
	}
	identity := v.Identity
	if identity.Family == 0 && identity.Model == "" {
		identity = v.said
	}
	r := meaning.Resolve(v.Dictionary, v.IMEI, identity, &evidence)
	x := &Explanation{
		IMEI: v.IMEI, Family: r.Family().String(), Model: r.Model(), Firmware: identity.Firmware, By: r.By().String(),
		Dict: v.Dictionary.Version(), NewScale: evidence.NewScale(), OldScale: r.Legacy(), Records: v.records,
		Last: v.lastTime, Kept: v.Kept != nil, LostWidths: v.lost, Codec7: v.codec7, Evidence: []pair{}, Elements: []row{},
	}
	for _, f := range r.Candidates() {
		x.Candidates = append(x.Candidates, f.String())
	}
	for _, s := range evidence.Scores(v.Dictionary) {
		x.Scores = append(x.Scores, score{s.Family.String(), s.Points, s.Candidate})
	}
	for _, p := range evidence.Pairs() {
		x.Evidence = append(x.Evidence, v.pair(p))
	}
	for _, e := range v.elements() {
		x.Elements = append(x.Elements, newRow(r, e))
	}
	return x
}

func (v *Device) elements() (all []stored.Element) {
	for _, e := range v.latest {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b stored.Element) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

func (v *Device) pair(p meaning.Element) pair {
	out := pair{ID: p.ID, Width: p.Width.String(), Known: []string{}}
	for _, f := range meaning.Families() {
		if len(v.Dictionary.Lookup(f, "", p.ID, p.Width)) > 0 {
			out.Known = append(out.Known, f.String())
		}
	}
	return out
}

// newRow reads the element in its width or, if that is lost, in all widths that the device may have sent it in. Those
// have to agree.
func newRow(r *meaning.Reader, e stored.Element) row {
	out := row{ID: e.ID, Width: widthsText(e.Widths)}
	var widths []meaning.Width
	for _, w := range e.Widths {
		if len(r.Definitions(e.ID, w)) > 0 {
			widths = append(widths, w)
		}
	}
	known := len(widths) > 0
	if !known {
		widths = e.Widths[:1]
	}
	for i, w := range widths {
		name, value := explain.Element(r, e.ID, w, e.Raw(w))
		_, name, _ = strings.Cut(name, " ")
		if i > 0 && (name != out.Name || value != out.Value) {
			out.Name, out.Value = "(depends on its width, which the record does not tell)", fmt.Sprint(e.Number)
			return out
		}
		out.Name, out.Value = name, value
	}
	if known {
		out.Width = widthsText(widths)
	}
	if all := r.Definitions(e.ID, widths[0]); len(all) == 1 {
		d := all[0]
		out.Title, out.Type, out.Confidence = d.Title, howRead(d), d.Confidence.String()
	}
	return out
}

// WriteJSON writes one object.
func (x *Explanation) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(x)
}

// WriteText writes it for people.
func (x *Explanation) WriteText(w io.Writer) error {
	fmt.Fprintf(w, "device %s: family %s%s\n", x.IMEI, x.Family, x.pin())
	x.writeEvidence(w)
	if x.NewScale {
		fmt.Fprintln(w, "temperatures of Bluetooth sensors: new scale, proved by a value that the old one has not")
	} else if x.OldScale {
		fmt.Fprintf(w, "temperatures of Bluetooth sensors: old scale, by firmware %s\n", x.Firmware)
	}
	fmt.Fprintf(w, "dictionary %s\n", x.Dict)
	if len(x.Elements) > 0 {
		fmt.Fprintf(w, "\nelements as last sent in %s, until %s:\n\n", records(x.Records), x.Last)
	}
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, e := range x.Elements {
		fmt.Fprintf(out, "%d/%s\t%s\t%s\t%s\t%s\n", e.ID, e.Width, e.Name, e.Type, e.Title, e.Value)
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if x.LostWidths {
		fmt.Fprint(w, "\nStored records tell elements of 1, 2 and 4 bytes apart only with RECORD_RAW: 9/1-4 may be any of\n"+
			"them. They are no evidence of the family, and have a name here if all that it may be agree.\n")
	}
	if x.Codec7 > 0 {
		fmt.Fprintf(w, "%s of Codec 7 left out: its ids are not those of the dictionary.\n", records(x.Codec7))
	}
	return nil
}

func records(n int) string {
	if n == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", n)
}

// pin says what the family follows from.
func (x *Explanation) pin() string {
	model := ""
	if x.Model != "" {
		model = ", model " + x.Model
	}
	switch x.By {
	case meaning.ByMap.String():
		return model + ", pinned by the map of models or by a flag"
	case meaning.ByGetver.String():
		return model + ", pinned by its own answer to getver"
	}
	if len(x.Candidates) == 1 {
		return ", told from its elements"
	}
	return " is the likeliest by its elements; it may be any of " + strings.Join(x.Candidates, ", ")
}

func (x *Explanation) writeEvidence(w io.Writer) {
	var scores []string
	for _, s := range x.Scores {
		scores = append(scores, fmt.Sprintf("%s %g", s.Family, s.Points))
	}
	fmt.Fprintf(w, "scores by its elements: %s (candidates are within 6 of the best)\n", strings.Join(scores, ", "))
	from := "its stored records"
	if x.Kept {
		from = "what the service has kept, and its stored records"
	}
	if len(x.Evidence) == 0 {
		fmt.Fprintf(w, "evidence: none in %s\n", from)
		return
	}
	fmt.Fprintf(w, "evidence, in %s:\n", from)
	for _, p := range x.Evidence {
		known := strings.Join(p.Known, " ")
		if known == "" {
			known = "no family"
		}
		fmt.Fprintf(w, "  %d/%s is known to %s\n", p.ID, p.Width, known)
	}
}
