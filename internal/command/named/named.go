// Package named has names for commands, such as immobilize: what is sent for a name depends on the device's family or
// model. The table is data: an embedded one, over which a user may lay a file of their own.
package named

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

//go:embed table.txt
var embedded string

// Table is an immutable table of names.
type Table struct{ rows []*Row }

// Row is what a name means for some devices.
type Row struct {
	Name  string
	Match []string // families and models; "*" is all
	Does  string   // for people
	text  template
	none  bool // those devices have no such command
	layer int  // 0 = embedded; a row of a file that lies over it has a higher one
}

// Text is what is sent, with its parameters in braces: "setdigout 1[ {seconds:1-86400}]".
func (r *Row) Text() string { return r.text.source }

// Parameters are those of the text, in their order.
func (r *Row) Parameters() []Parameter { return r.text.parameters }

// Dangerous reports whether the command needs to be confirmed whatever the policy in use says: the default one asks for
// it, or it changes a parameter.
func (r *Row) Dangerous() bool { return dangerous(r.text.example()) }

func dangerous(text string) bool {
	payload := []byte(text)
	return command.DefaultPolicy().Evaluate(payload).Effect != command.Allow ||
		strings.Contains(strings.ToLower(string(payload)), "setparam")
}

// onVehicle are the commands by which something of the vehicle is switched.
var onVehicle = []string{
	"setdigout", "setigndigout", "secoon", "secooff", "lvcanblockengine", "lvcanunblockengine",
}

// OnVehicle reports whether the command switches something of the vehicle, which may be driving.
func (r *Row) OnVehicle() bool { return actsOnVehicle(r.text.source) }

func actsOnVehicle(text string) bool {
	return slices.ContainsFunc(onVehicle, func(name string) bool {
		return strings.Contains(strings.ToLower(text), name)
	})
}

// How narrowly a row matches a device.
const (
	matchNone = iota
	matchAll
	matchFamily
	matchModel
)

func (r *Row) matches(family, model string) int {
	switch {
	case model != "" && slices.ContainsFunc(r.Match, func(m string) bool { return strings.EqualFold(m, model) }):
		return matchModel
	case family != "" && slices.ContainsFunc(r.Match, func(m string) bool { return strings.EqualFold(m, family) }):
		return matchFamily
	case slices.Contains(r.Match, "*"):
		return matchAll
	}
	return matchNone
}

// Embedded is the table without a user's.
func Embedded() *Table { return builtin }

var builtin = func() *Table {
	t, err := new(Table).Override(strings.NewReader(embedded))
	if err != nil {
		panic(err) // it is embedded
	}
	return t
}()

// Names are all names, each once, in the order of the table.
func (t *Table) Names() (names []string) {
	for _, r := range t.rows {
		if !slices.Contains(names, r.Name) {
			names = append(names, r.Name)
		}
	}
	return names
}

// Rows are those of a family, or of all if it is empty, without those that take a name away.
func (t *Table) Rows(family string) (rows []*Row) {
	for _, r := range t.rows {
		if !r.none && (family == "" || t.find(r.Name, family, "") == r || slices.ContainsFunc(r.Match, isModelOf(family))) {
			rows = append(rows, r)
		}
	}
	return rows
}

func isModelOf(family string) func(string) bool {
	return func(match string) bool {
		_, err := meaning.ParseFamily(match) // whose names are how models begin, too
		return err != nil && strings.EqualFold(meaning.FamilyOfModel(match).String(), family)
	}
}

// find is the row of the name that matches, or nil: of those that a file has laid over the others the narrowest, and
// the last one of these.
func (t *Table) find(name, family, model string) (found *Row) {
	best := matchNone
	for _, r := range t.rows {
		m := r.matches(family, model)
		if r.Name != name || m == matchNone {
			continue
		}
		if found == nil || r.layer > found.layer || m >= best {
			found, best = r, m
		}
	}
	return found
}

// Error is why there is no command for a name, in words that say what to do.
type Error struct {
	Field   string // name, family or args
	Problem string
}

func (e *Error) Error() string { return e.Field + " " + e.Problem }

// Command is what a name has become.
type Command struct {
	*Row
	Payload string
}

// Dangerous is [Row.Dangerous] with the arguments that were given.
func (c *Command) Dangerous() bool { return c.Row.Dangerous() || dangerous(c.Payload) }

// OnVehicle is [Row.OnVehicle] with the arguments that were given.
func (c *Command) OnVehicle() bool { return c.Row.OnVehicle() || actsOnVehicle(c.Payload) }

// Resolve finds the text for a device of the family and model, of which either may be empty: a name for all devices
// needs neither. Its error is an [Error].
func (t *Table) Resolve(name, family, model string, args map[string]string) (*Command, error) {
	row := t.find(name, family, model)
	switch {
	case row != nil && !row.none:
	case !slices.Contains(t.Names(), name):
		return nil, &Error{"name", fmt.Sprintf("%.32q is none: see commands names", name)}
	case family == "" && model == "":
		return nil, &Error{"family", "is not known of this device: give it, ask the device by the command getver, " +
			"or enter its model in DEVICE_MODELS"}
	default:
		return nil, &Error{"name", fmt.Sprintf("%q has no command for %s: see commands names", name, of(family, model))}
	}
	payload, err := row.text.fill(args)
	if err != nil {
		return nil, &Error{"args", err.Error()}
	}
	return &Command{row, payload}, nil
}

func of(family, model string) string {
	if model != "" {
		return model
	}
	return "the family " + family
}
