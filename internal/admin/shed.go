package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/shed"
)

// Shedding has a part of the devices leave this instance; a [shed.Shedder] does.
type Shedding interface {
	// Begin may fail with shed.ErrBusy and shed.ErrStopped.
	Begin(p shed.Part, cause shed.Cause, by string) (shed.Status, error)
	Status() shed.Status
}

// ShedPart is how much is to leave: Percent of the devices that are connected, or so many Connections.
type ShedPart struct {
	Percent     int   `json:"percent,omitempty"`     // 1 to 100
	Connections int   `json:"connections,omitempty"` // 1 to 10,000,000
	OverMS      int64 `json:"over_ms,omitempty"`     // how long it takes, up to an hour; CLOSE_SPREAD or 10 s if 0
}

const shedPath = "/v1/shed"

// What may be asked for at once.
const (
	maxShed     = 10_000_000 // connections, more than any server has
	maxShedOver = time.Hour
)

// beginShed answers with what is being done, which goes on by itself.
func (s *Server) beginShed(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	part, err := parsePart(body)
	if err != nil {
		return err
	}
	status, err := s.Shedding.Begin(part, shed.ByRequest, "http "+r.RemoteAddr)
	if errors.Is(err, shed.ErrBusy) || errors.Is(err, shed.ErrStopped) {
		return problem(http.StatusConflict, "%v", err)
	}
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusAccepted, status)
	return nil
}

func (s *Server) showShed(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, s.Shedding.Status())
	return nil
}

// parsePart returns how much a body asks for. Its error is a Problem that names all that is wrong.
func parsePart(body []byte) (shed.Part, error) {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(body, &given); err != nil {
		return shed.Part{}, problem(http.StatusBadRequest, "the body is not a JSON object: %v", err)
	}
	wrong := make(map[string]string)
	number := func(name string, low, high int64) (n int64) {
		if raw, ok := given[name]; ok && (json.Unmarshal(raw, &n) != nil || n < low || n > high) {
			wrong[name] = fmt.Sprintf("must be a whole number of %d to %d", low, high)
		}
		return n
	}
	part := shed.Part{
		Percent: int(number("percent", 1, 100)), Connections: int(number("connections", 1, maxShed)),
		Over: time.Duration(number("over_ms", 1, maxShedOver.Milliseconds())) * time.Millisecond,
	}
	_, percent := given["percent"]
	_, connections := given["connections"]
	if percent == connections {
		wrong["percent"] = "must be given, or connections, and not both"
	}
	for _, name := range []string{"percent", "connections", "over_ms"} {
		delete(given, name)
	}
	for name := range given {
		wrong[name] = "is unknown"
	}
	return part, wrongFields(wrong)
}
