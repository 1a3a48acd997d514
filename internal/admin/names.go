package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/named"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// Args are the arguments of a named command, each a JSON string or number.
type Args map[string]string

// UnmarshalJSON implements json.Unmarshaler.
func (a *Args) UnmarshalJSON(object []byte) error {
	var given map[string]any
	d := json.NewDecoder(strings.NewReader(string(object)))
	d.UseNumber()
	if err := d.Decode(&given); err != nil {
		return err
	}
	*a = make(Args, len(given))
	for name, value := range given {
		switch v := value.(type) {
		case string:
			(*a)[name] = v
		case json.Number:
			(*a)[name] = v.String()
		default:
			return fmt.Errorf("%.32q is neither a string nor a number", name)
		}
	}
	return nil
}

// Named is what a name means for a device: the answer to a dry run.
type Named struct {
	Name    string `json:"name"`
	IMEI    string `json:"imei"`
	Family  string `json:"family,omitempty"`
	Model   string `json:"model,omitempty"`
	Command string `json:"command"`
	Does    string `json:"does,omitempty"`
	Confirm bool   `json:"confirm"`           // it has to be confirmed
	Warning string `json:"warning,omitempty"` // what speaks against sending it like this
}

// Name is a row of the table of names.
type Name struct {
	Name       string      `json:"name"`
	Match      []string    `json:"match"` // families and models
	Command    string      `json:"command"`
	Does       string      `json:"does,omitempty"`
	Parameters []Parameter `json:"parameters,omitempty"`
	Confirm    bool        `json:"confirm"`
}

// Parameter is what a named command needs to be told: a whole number if it has a Max, else a word.
type Parameter struct {
	Name     string `json:"name"`
	Min      int    `json:"min,omitempty"`
	Max      int    `json:"max,omitempty"`
	Optional bool   `json:"optional"`
}

// NameList is what GET /v1/names answers.
type NameList struct {
	Names []Name `json:"names"`
}

// warningVehicle is for commands that act on the vehicle whatever it does.
const warningVehicle = "it acts on the vehicle, which may be driving: add a condition, such as speed<5"

// table is the one of names in use.
func (s *Server) table() *named.Table {
	if s.Names == nil {
		return named.Embedded()
	}
	return s.Names()
}

// listNames lists the table of names.
func (s *Server) listNames(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "family")
	if err != nil {
		return err
	}
	family := q.Get("family")
	if family != "" {
		if _, err := meaning.ParseFamily(family); err != nil {
			return wrongFields(map[string]string{"family": err.Error()})
		}
	}
	list := NameList{Names: []Name{}}
	for _, row := range s.table().Rows(family) {
		n := Name{Name: row.Name, Match: row.Match, Command: row.Text(), Does: row.Does, Confirm: row.Dangerous()}
		for _, p := range row.Parameters() {
			n.Parameters = append(n.Parameters, Parameter(p))
		}
		list.Names = append(list.Names, n)
	}
	writeJSON(w, http.StatusOK, &list)
	return nil
}

// resolve finds out what the name of a request means for the device. What is wrong with the request it adds to wrong.
func (s *Server) resolve(ctx context.Context, r *Request, imei string, wrong map[string]string) *Named {
	if r.Name == nil {
		for field, given := range map[string]bool{"args": r.Args != nil, "family": r.Family != nil, "dry_run": r.DryRun} {
			if given {
				wrong[field] = "needs a name"
			}
		}
		return nil
	}
	if wrong["name"] != "" || wrong["args"] != "" || wrong["family"] != "" {
		return nil
	}
	n := &Named{Name: *r.Name, IMEI: imei}
	if problem := s.identify(ctx, n, r.Family); problem != "" {
		wrong["family"] = problem
		return nil
	}
	c, err := s.table().Resolve(n.Name, n.Family, n.Model, r.Args)
	var refused *named.Error
	if errors.As(err, &refused) {
		wrong[refused.Field] = refused.Problem
		return nil
	}
	n.Command, n.Does, n.Confirm = c.Payload, c.Does, c.Dangerous()
	if c.OnVehicle() && r.OnlyIf == nil {
		n.Warning = warningVehicle
	}
	return n
}

// identify finds out of which family and model the device is: as it is known here, or as the request says where that is
// no contradiction.
func (s *Server) identify(ctx context.Context, n *Named, given *string) (problem string) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	p, known, err := s.Devices.Find(ctx, n.IMEI)
	if err != nil { // what is known here may be out of date
		return fmt.Sprintf("cannot be found out now: %v", err)
	}
	if known {
		n.Family, n.Model = p.Family, p.Model
	}
	if given == nil {
		return ""
	}
	family, err := meaning.ParseFamily(*given)
	model := ""
	if err != nil {
		if family = meaning.FamilyOfModel(*given); family == 0 {
			return fmt.Sprintf("%.32q is neither a family nor a model that is known", *given)
		}
		model = strings.ToUpper(*given)
	}
	if n.Family != "" && n.Family != family.String() || n.Model != "" && model != "" && n.Model != model {
		return fmt.Sprintf("%.32q is not what this device is known to be: %s", *given,
			strings.TrimSpace(n.Family+" "+n.Model))
	}
	if n.Family = family.String(); model != "" {
		n.Model = model
	}
	return ""
}

// needsConfirmation refuses a named command that is dangerous and not confirmed, whatever the policy says.
func needsConfirmation(n *Named, c *command.Command) error {
	if n == nil || !n.Confirm || c.Confirm {
		return nil
	}
	return refused(&command.RefusedError{Reason: command.RefusedConfirm,
		Text: fmt.Sprintf("%s is dangerous: the device would get %q", n.Name, n.Command)})
}
