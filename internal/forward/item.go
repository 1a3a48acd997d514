package forward

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/format"
)

// document is what is looked at in a stored record.
type document struct {
	ID        string    `json:"id"`
	DeviceID  string    `json:"device_id"`
	Codec     string    `json:"codec"`
	Timestamp time.Time `json:"timestamp"`
	Device    struct {
		Family string `json:"family"`
	} `json:"device"`
	Signals map[string]json.RawMessage `json:"signals"`
}

var errNoRecord = errors.New("not a published record")

// item makes an item of a stored record, unless the filter leaves it out. What is wrong with the record comes with an
// item that has the payload as it is stored.
func (o *Options) item(payload []byte) (i Item, wanted bool, err error) {
	var d document
	if err := json.Unmarshal(payload, &d); err != nil {
		return Item{Payload: payload}, true, fmt.Errorf("%w: %w", errNoRecord, err)
	}
	if d.ID == "" || d.DeviceID == "" {
		return Item{Payload: payload}, true, fmt.Errorf("%w: it has no id or no device_id", errNoRecord)
	}
	if !o.Filter.wants(&d) {
		return Item{}, false, nil
	}
	i = Item{ID: d.ID, DeviceID: d.DeviceID, Codec: d.Codec, Family: d.Device.Family, Time: d.Timestamp, Payload: payload}
	formatted, err := o.Format(payload)
	if err != nil {
		return i, true, err
	}
	i.Payload = formatted
	return i, true, nil
}

// Filter says which records are delivered. An empty list leaves nothing out.
type Filter struct {
	Devices  []string // ids, or how ids begin with a * behind it
	Families []string // as in the record
	Signals  []string // of which the record has one
}

// wants reports whether a record passes all lists.
func (f *Filter) wants(d *document) bool {
	return (len(f.Devices) == 0 || slices.ContainsFunc(f.Devices, d.isOf)) &&
		(len(f.Families) == 0 || slices.Contains(f.Families, d.Device.Family)) &&
		(len(f.Signals) == 0 || slices.ContainsFunc(f.Signals, d.has))
}

func (d *document) isOf(device string) bool {
	prefix, many := strings.CutSuffix(device, "*")
	return d.DeviceID == prefix || many && strings.HasPrefix(d.DeviceID, prefix)
}

func (d *document) has(signal string) bool {
	_, has := d.Signals[signal]
	return has
}

// native is the format that leaves a record as it is stored.
func native(payload []byte) ([]byte, error) { return payload, nil }

// FormatNamed is the format of that name of package format, nil if there is none.
func FormatNamed(name string) format.Format {
	if name == format.Names()[0] {
		return native
	}
	return format.Named(name)
}
