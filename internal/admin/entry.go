package admin

import (
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// Time is a moment as the API writes it: RFC 3339, UTC, with milliseconds.
type Time struct{ time.Time }

// MarshalJSON implements [json.Marshaler].
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z"`), nil
}

// Entry is a command with what has become of it; see [command.Entry].
type Entry struct {
	ID               string           `json:"id"`
	IMEI             string           `json:"imei"`
	State            command.State    `json:"state"`
	Codec            int              `json:"codec"`
	Payload          string           `json:"payload"`
	Encoding         command.Encoding `json:"encoding"`
	TimeoutMS        int64            `json:"timeout_ms"`
	CreatedAt        Time             `json:"created_at,omitzero"`
	ExpiresAt        Time             `json:"expires_at,omitzero"`
	Idempotent       bool             `json:"idempotent"`
	WaitsFor         string           `json:"waits_for,omitempty"` // while it is queued: WaitsForDevice or WaitsForTurn
	NotPlain         string           `json:"not_plain,omitempty"` // see command.NotPlain
	Attempts         int              `json:"attempts"`
	SentAt           Time             `json:"sent_at,omitzero"`
	FinishedAt       Time             `json:"finished_at,omitzero"`
	Response         *string          `json:"response,omitempty"` // an answer may be empty
	ResponseEncoding command.Encoding `json:"response_encoding,omitempty"`
	ResponseHex      string           `json:"response_hex,omitempty"` // if Response is text and not exact
	Reason           string           `json:"reason,omitempty"`
	Instance         string           `json:"instance,omitempty"`
}

// What a command that is queued waits for.
const (
	WaitsForDevice = "device" // which is not connected
	WaitsForTurn   = "turn"   // its device is connected, or was a moment ago
)

func waitsFor(e *command.Entry) string {
	switch {
	case e.State != command.Queued:
		return ""
	case e.Parked:
		return WaitsForDevice
	}
	return WaitsForTurn
}

func entryOf(e *command.Entry) *Entry {
	j := &Entry{
		ID: e.ID, IMEI: e.IMEI, State: e.State, Codec: int(e.Codec), TimeoutMS: e.Timeout.Milliseconds(),
		CreatedAt: Time{e.Created}, ExpiresAt: Time{e.Expires}, Idempotent: e.Idempotent, Attempts: e.Attempts,
		SentAt: Time{e.SentAt}, FinishedAt: Time{e.FinishedAt}, Reason: e.Reason, Instance: e.Instance,
		WaitsFor: waitsFor(e), NotPlain: command.NotPlain(e.Payload),
	}
	j.Payload, j.Encoding = command.EncodePayload(e.Payload)
	if e.State == command.Answered || len(e.Response) > 0 {
		text, encoding, raw := command.EncodeResponse(e.Response)
		j.Response, j.ResponseEncoding, j.ResponseHex = &text, encoding, raw
	}
	return j
}

// Device is a device that is connected now; see [command.Device].
type Device struct {
	IMEI      string `json:"imei"`
	Since     Time   `json:"since"`
	Remote    string `json:"remote"`
	Transport string `json:"transport"`
	Codec     string `json:"codec,omitempty"`
	Frames    uint64 `json:"frames"`
	Records   uint64 `json:"records"`
	LastSeen  Time   `json:"last_seen"`
	Model     string `json:"model,omitempty"`
}

func deviceOf(d *command.Device) *Device {
	return &Device{
		IMEI: d.IMEI, Since: Time{d.Since}, Remote: d.Remote, Transport: d.Transport, Codec: d.Codec,
		Frames: d.Frames, Records: d.Records, LastSeen: Time{d.LastSeen}, Model: d.Model,
	}
}
