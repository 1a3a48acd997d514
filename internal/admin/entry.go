package admin

import (
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/verdict"
)

// Time is a moment as the API writes it: RFC 3339, UTC, with milliseconds.
type Time = device.Time

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
	OnlyIf           string           `json:"only_if,omitempty"`   // the condition under which it is sent
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
		CreatedAt: Time{Time: e.Created}, ExpiresAt: Time{Time: e.Expires}, Idempotent: e.Idempotent, Attempts: e.Attempts,
		SentAt: Time{Time: e.SentAt}, FinishedAt: Time{Time: e.FinishedAt}, Reason: e.Reason, Instance: e.Instance,
		WaitsFor: waitsFor(e), NotPlain: command.NotPlain(e.Payload), OnlyIf: e.OnlyIf.String(),
	}
	j.Payload, j.Encoding = command.EncodePayload(e.Payload)
	if e.State == command.Answered || len(e.Response) > 0 {
		text, encoding, raw := command.EncodeResponse(e.Response)
		j.Response, j.ResponseEncoding, j.ResponseHex = &text, encoding, raw
	}
	return j
}

// Device is what is known of a device.
type Device struct {
	device.Presence
	Verdict    *verdict.Verdict `json:"verdict,omitempty"`
	Incomplete string           `json:"incomplete,omitempty"` // why what other instances know is missing, if it is
}
