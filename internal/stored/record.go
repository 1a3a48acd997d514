// Package stored reads published records back from where they are stored.
//
// A record's attributes have every value, but of numbers of 1, 2 and 4 bytes not how wide they were sent. With
// RECORD_RAW the record's own bytes say so.
package stored

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// Record is a published record as far as the meaning of its elements is concerned.
type Record struct {
	DeviceID   string  `json:"device_id"`
	Codec      string  `json:"codec"`
	Timestamp  string  `json:"timestamp"` // empty if it is none that may be shown
	Attributes Members `json:"attributes"`
	Raw        []byte  `json:"raw"` // with RECORD_RAW
	Signals    Members `json:"signals"`
	Faults     Members `json:"faults"`
	Dict       string  `json:"dict"`
	Device     struct {
		Family string `json:"family"`
		Model  string `json:"model"`
		By     string `json:"by"`
	} `json:"device"`

	Document []byte  `json:"-"` // the record as it is stored
	Members  Members `json:"-"` // of the document

	// Elements are those of the attributes, in their order and each id once; none of Codec 7, whose ids are not those of
	// the dictionary. Problem says which of them are left out, or why Raw, if there is any, does not tell their widths.
	Elements []Element `json:"-"`
	Problem  error     `json:"-"`
}

// ErrNoRecord is in the chain of the error of what is no published record.
var ErrNoRecord = errors.New("not a published record")

// Parse reads the document of a record. ErrNoRecord is in the chain of its error.
func Parse(document []byte) (*Record, error) {
	r := &Record{Document: document}
	if err := json.Unmarshal(document, r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoRecord, err)
	}
	if r.DeviceID == "" || r.Codec == "" {
		return nil, fmt.Errorf("%w: it has no device_id or no codec", ErrNoRecord)
	}
	if err := json.Unmarshal(document, &r.Members); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoRecord, err)
	}
	if strings.Trim(r.Timestamp, "0123456789-:.TZ") != "" {
		r.Timestamp = ""
	}
	r.readElements()
	return r, nil
}

// Says reports whether the record gives a value or a fault of that name.
func (r *Record) Says(name string) bool { return r.Signals.has(name) || r.Faults.has(name) }

// Identity is what the record says of its device, unless that was told from elements. The firmware is not in it.
func (r *Record) Identity() meaning.Identity {
	family, err := meaning.ParseFamily(r.Device.Family)
	if err != nil {
		return meaning.Identity{}
	}
	identity := meaning.Identity{Family: family, Model: r.Device.Model}
	switch r.Device.By {
	case meaning.ByGetver.String():
		identity.By = meaning.ByGetver
	case meaning.ByMap.String():
		identity.By = meaning.ByMap
	default:
		return meaning.Identity{}
	}
	return identity
}
