package explain

import (
	"encoding/json"
	"fmt"
	"strconv"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// meaningObject says what the elements of a packet's records mean.
type meaningObject struct {
	Device  deviceObject          `json:"device"`
	Dict    string                `json:"dict"`
	Records []recordMeaningObject `json:"records"` // one for each of the packet's
}

type deviceObject struct {
	Family     string   `json:"family"`
	Model      string   `json:"model,omitempty"`
	By         string   `json:"by"`
	Candidates []string `json:"candidates"` // the families that it may be of, the most likely first
}

// recordMeaningObject has signals and faults as in the published record, and by id what an element may mean if that
// depends on the device's family or model.
type recordMeaningObject struct {
	Signals json.RawMessage            `json:"signals,omitempty"`
	Faults  json.RawMessage            `json:"faults,omitempty"`
	Depends map[string][]readingObject `json:"depends,omitempty"`
}

type readingObject struct {
	Families []string        `json:"families"`
	Models   []string        `json:"models,omitempty"`
	Name     string          `json:"name"`
	Value    json.RawMessage `json:"value,omitempty"`
	Unit     string          `json:"unit,omitempty"`
	Fault    string          `json:"fault,omitempty"`
}

// meaning is nil if the packet has no records whose elements have a meaning.
func (p *Packet) meaning() *meaningObject {
	if p.reader == nil || len(p.records()) == 0 {
		return nil
	}
	r := p.reader
	o := meaningObject{
		Device: deviceObject{Family: r.Family().String(), Model: r.Model(), By: r.By().String()},
		Dict:   r.Dictionary().Version(),
	}
	for _, f := range candidates(r) {
		o.Device.Candidates = append(o.Device.Candidates, f.String())
	}
	for i := range p.AVL.Records {
		o.Records = append(o.Records, p.recordMeaning(&p.AVL.Records[i]))
	}
	return &o
}

func (p *Packet) recordMeaning(r *teltonika.Record) (o recordMeaningObject) {
	last := make(map[uint16]int, len(r.Elements)) // an id that is repeated keeps its last value
	for j, e := range r.Elements {
		last[e.ID] = j
	}
	var signals, faults []byte
	for j, e := range r.Elements {
		if last[e.ID] != j {
			continue
		}
		in := p.element(e.ID, e.Group, elementBytes(r, e))
		if p.private && in.isPlace() {
			continue
		}
		switch v, why := in.decode(); {
		case why == meaning.Named && v.Fault != "":
			faults = fmt.Appendf(faults, `,"%s":"%s"`, v.Name, v.Fault)
		case why == meaning.Named:
			signals = fmt.Appendf(signals, `,"%s":%s`, v.Name, v.JSON)
		case why == meaning.Unknown || why == meaning.Ambiguous:
			o.addReadings(e.ID, in.readings())
		}
	}
	o.Signals, o.Faults = inBraces(signals), inBraces(faults)
	return o
}

func (o *recordMeaningObject) addReadings(id uint16, all []reading) {
	if len(all) == 0 {
		return
	}
	if o.Depends == nil {
		o.Depends = map[string][]readingObject{}
	}
	var objects []readingObject
	for _, r := range all {
		v := r.value
		objects = append(objects, readingObject{r.families, r.models, v.Name, v.JSON, v.Unit, v.Fault})
	}
	o.Depends[strconv.Itoa(int(id))] = objects
}

// inBraces makes an object of members that each have a comma before them; none is nil.
func inBraces(members []byte) json.RawMessage {
	if len(members) == 0 {
		return nil
	}
	members[0] = '{'
	return append(members, '}')
}
