package dictionary

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/stored"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// Unknown counts what of stored records has no meaning.
type Unknown struct {
	dictionary *meaning.Dictionary
	counts     map[unknownKey]*Count
	known      map[nameKey][]string

	Records  int // looked at
	Elements int // in them
	Lost     int // elements whose width is lost
	Bare     int // records without dict: stored without signals, or with none
}

type unknownKey struct {
	id    uint16
	width meaning.Width // lostWidth if it is lost
	why   string
}

// nameKey is an element by what its names depend on: the widths are the first one and those behind it.
type nameKey struct {
	id    uint16
	width meaning.Width
	exact bool
}

const lostWidth meaning.Width = 255

// Count is how often something was sent that has no meaning.
type Count struct {
	ID      uint16 `json:"id"`
	Width   string `json:"width"` // "1-4", "2-4" if it is lost: the smallest that all numbers fit into, and the largest
	Why     string `json:"why"`
	Records int    `json:"records"`
	Devices int    `json:"devices"` // maxDevices at most
	Last    string `json:"last"`    // the device's time of the last one

	smallest []meaning.Width
	devices  map[string]bool
}

// maxDevices bounds the devices that are told apart for one count.
const maxDevices = 1000

// Why an element has no meaning.
const (
	WhyNowhere = "unknown" // no family has it
	WhySilent  = "silent"  // some family has it, but the record's device gave no value: it is another one, or in doubt
)

// NewUnknown counts by a dictionary.
func NewUnknown(d *meaning.Dictionary) *Unknown {
	return &Unknown{dictionary: d, counts: map[unknownKey]*Count{}, known: map[nameKey][]string{}}
}

// Add takes in a stored record.
func (u *Unknown) Add(r *stored.Record) {
	u.Records++
	bare := r.Device.Family == ""
	if bare && len(r.Elements) > 0 {
		u.Bare++
	}
	for i := range r.Elements {
		e := &r.Elements[i]
		u.Elements++
		if !e.Exact() {
			u.Lost++
		}
		switch names := u.names(e); {
		case len(names) == 0:
			u.count(r, e, WhyNowhere)
		case !bare && !slices.ContainsFunc(names, r.Says):
			u.count(r, e, WhySilent)
		}
	}
}

// names are what any family or override calls the element.
func (u *Unknown) names(e *stored.Element) []string {
	key := nameKey{e.ID, e.Widths[0], e.Exact()}
	names, there := u.known[key]
	if !there {
		names = u.find(e)
		u.known[key] = names
	}
	return names
}

func (u *Unknown) find(e *stored.Element) (names []string) {
	for _, w := range e.Widths {
		for _, f := range meaning.Families() {
			for _, d := range u.dictionary.Lookup(f, "", e.ID, w) {
				names = append(names, d.Name)
			}
		}
	}
	for o := range u.dictionary.Overrides() {
		if o.ID == e.ID && slices.Contains(e.Widths, o.Width) && !o.Silent {
			names = append(names, o.Name)
		}
	}
	return names
}

func (u *Unknown) count(r *stored.Record, e *stored.Element, why string) {
	key := unknownKey{e.ID, e.Widths[0], why}
	if !e.Exact() {
		key.width = lostWidth
	}
	c := u.counts[key]
	if c == nil {
		c = &Count{ID: e.ID, Why: why, smallest: e.Widths, devices: map[string]bool{}}
		u.counts[key] = c
	}
	if len(e.Widths) < len(c.smallest) {
		c.smallest = e.Widths
	}
	c.Records++
	c.Last = max(c.Last, r.Timestamp)
	if len(c.devices) < maxDevices {
		c.devices[r.DeviceID] = true
	}
}

// Counts are all counts, the most frequent first.
func (u *Unknown) Counts() []*Count {
	all := []*Count{}
	for _, c := range u.counts {
		c.Width, c.Devices = widthsText(c.smallest), len(c.devices)
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *Count) int {
		return cmp.Or(b.Records-a.Records, int(a.ID)-int(b.ID), strings.Compare(a.Width, b.Width))
	})
	return all
}

// WriteJSON writes one object a count and line.
func (u *Unknown) WriteJSON(w io.Writer) error {
	out := bufio.NewWriter(w)
	encoder := json.NewEncoder(out)
	for _, c := range u.Counts() {
		if err := encoder.Encode(c); err != nil {
			return err
		}
	}
	return out.Flush()
}

// WriteText writes a table, and what it rests on.
func (u *Unknown) WriteText(w io.Writer) error {
	out := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	counts, total := u.Counts(), 0
	if len(counts) > 0 {
		fmt.Fprintln(out, "ID\tWIDTH\tRECORDS\tDEVICES\tLAST\tWHY")
	}
	for _, c := range counts {
		fmt.Fprintf(out, "%d\t%s\t%d\t%d\t%s\t%s\n", c.ID, c.Width, c.Records, c.Devices, c.Last, c.Why)
		total += c.Records
	}
	if err := out.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "%d of %d elements in %d records have no meaning by dictionary %s.\n", total, u.Elements, u.Records,
		u.dictionary.Version())
	if u.Lost > 0 {
		fmt.Fprintf(w, "Of %d the width is lost: a record tells 1, 2 and 4 bytes apart only with RECORD_RAW. So 1-4 may be "+
			"any of\nthem, and an element that is unknown in its own width is not counted if another width is known.\n", u.Lost)
	}
	if u.Bare > 0 {
		fmt.Fprintf(w, "%d records have no signals: of them only what no family knows is counted.\n", u.Bare)
	}
	return nil
}

// widthsText is such as "4", or "1-4" where a number may have been sent in several widths.
func widthsText(widths []meaning.Width) string {
	first := widths[0].String()
	if len(widths) == 1 {
		return first
	}
	return first + "-" + widths[len(widths)-1].String()
}
