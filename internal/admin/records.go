package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/dictionary"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/stored"
)

// Records are those that are stored; see [engine.DeviceReader].
type Records interface {
	LastRecords(ctx context.Context, deviceID string, n int) (newest [][]byte, whole bool, err error)
}

// How many records are shown at once, and how long the engine may take.
const (
	maxRecords    = 100
	someRecords   = 20
	recordTimeout = 10 * time.Second
)

// RecordList is a device's last records, the newest first.
type RecordList struct {
	Records []json.RawMessage `json:"records"` // as they are published
	Units   map[string]string `json:"units"`   // of the signals in them, by name
	Whole   bool              `json:"whole"`   // false: the engine has looked at its newest records only
}

// lastRecords shows a device's last records.
func (s *Server) lastRecords(w http.ResponseWriter, r *http.Request) error {
	q, err := query(r, "limit")
	if err != nil {
		return err
	}
	limit, err := limitParameter(q, someRecords, maxRecords)
	if err != nil {
		return err
	}
	if s.Records == nil {
		return problem(http.StatusNotImplemented, "the engine has no index by device: tcp-ingestion tail --imei follows one")
	}
	done, err := s.mayList()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(r.Context(), recordTimeout)
	defer cancel()
	newest, whole, err := s.Records.LastRecords(ctx, r.PathValue("imei"), limit)
	if err != nil {
		s.Logger.Error("records cannot be read", "error", err)
		return again("the engine does not show its records: " + err.Error())
	}
	list := RecordList{Records: []json.RawMessage{}, Units: map[string]string{}, Whole: whole}
	units := dictionary.Units(s.Dictionary())
	for _, document := range newest {
		record, err := stored.Parse(document)
		if err != nil {
			continue // another program's
		}
		list.Records = append(list.Records, document)
		for _, signal := range record.Signals {
			if unit := units[signal.Key]; unit != "" {
				list.Units[signal.Key] = unit
			}
		}
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}
