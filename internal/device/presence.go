package device

import (
	"strconv"
	"strings"
	"time"
)

// Time is a moment. As JSON it is RFC 3339 in UTC, with milliseconds.
type Time struct{ time.Time }

// MarshalJSON implements [json.Marshaler].
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z"`), nil
}

// Presence is who is there, or was: one device, as the API and the stores have it. What is not known is zero. All texts
// that come from the device or its network are bounded, and to be escaped where they are shown.
type Presence struct {
	IMEI    string `json:"imei"`
	Claimed bool   `json:"claimed,omitempty"` // only datagrams say so, and anybody can send one in its name

	// Its last connection, which may be open still. A device that sends datagrams counts as connected while it has been
	// heard within IDLE_TIMEOUT.
	Connected    bool   `json:"connected"`
	Instance     string `json:"instance,omitempty"`
	InstanceRun  Time   `json:"instance_run,omitzero"`  // when that process began
	InstanceLost Time   `json:"instance_lost,omitzero"` // it was connected there, and the instance not heard of since
	Transport    string `json:"transport,omitempty"`    // tcp, tls, udp
	Address      string `json:"remote,omitempty"`       // address and port
	ConnectedAt  Time   `json:"since,omitzero"`         // its login
	ClosedAt     Time   `json:"closed_at,omitzero"`
	CloseReason  string `json:"close_reason,omitempty"` // see docs/reference/close-reasons.md
	Codec        string `json:"codec,omitempty"`        // of its last acknowledged frame
	Frames       uint64 `json:"frames"`                 // acknowledged on that connection
	Records      uint64 `json:"records"`                // likewise

	FirstSeen Time `json:"first_seen,omitzero"`
	LastSeen  Time `json:"last_seen,omitzero"` // a whole frame or datagram, or a login

	Model    string `json:"model,omitempty"`    // as its owner's map or its answer to getver says
	Firmware string `json:"firmware,omitempty"` // as its answer to getver says
	Family   string `json:"family,omitempty"`

	Login     Login      `json:"login,omitzero"` // the last one in its name, whoever it was
	Logins    uint64     `json:"logins"`         // accepted
	Rejected  uint64     `json:"logins_rejected,omitempty"`
	TakenOver uint64     `json:"taken_over"` // connections that ended because of a newer one of the device
	TakeOvers []TakeOver `json:"take_overs,omitempty"`

	Counts     Counts      `json:"counts"`
	Since      Counts      `json:"counts_since_stored"` // since a record was last stored, without that frame
	LastStored Time        `json:"last_stored,omitzero"`
	LastRecord *LastRecord `json:"last_record,omitempty"`
	LastError  *Error      `json:"last_error,omitempty"`

	// Datagrams is what datagrams in its name have done, if there are any beside its connections.
	Datagrams *Presence `json:"datagrams,omitempty"`
}

// Run names the process that the device is or was connected to.
func (p *Presence) Run() string { return runName(p.Instance, p.InstanceRun) }

// WasTakenOver reports whether the connection ended because the device has a newer one.
func (p *Presence) WasTakenOver() bool { return !p.Connected && p.CloseReason == closeTakenOver }

// instanceOf is the instance of a run's name.
func instanceOf(run string) string { return run[:max(0, strings.LastIndexByte(run, '@'))] }

func runName(instance string, began Time) string {
	return instance + "@" + strconv.FormatInt(began.UnixMilli(), 36)
}

// The answers to a login.
const (
	LoginAccepted = "accepted"
	LoginDelayed  = "delayed" // accepted after it had to wait; see Login.Reason
	LoginRejected = "rejected"
)

// Why a login was rejected or delayed.
const (
	LoginNotListed   = "not_listed"  // the device is not on the allow-list
	LoginCertificate = "certificate" // another device's
	LoginBackoff     = "backoff"     // closed or refused again and again, or two devices with one IMEI
)

// Login is what became of a login.
type Login struct {
	At      Time   `json:"at"`
	Answer  string `json:"answer"`             // LoginAccepted, LoginDelayed or LoginRejected
	Reason  string `json:"reason,omitempty"`   // of the latter two
	DelayMS int64  `json:"delay_ms,omitempty"` // how long it had to wait
	Address string `json:"remote"`
}

// TakeOver is a connection that ended because of a newer one. Presence has the last few, the oldest first: of two
// devices with one IMEI each takes over from the other, from two addresses in turn.
type TakeOver struct {
	At       Time   `json:"at"`
	From     string `json:"from"`         // address and port of the connection that ended
	By       string `json:"by,omitempty"` // of the newer one; empty if it is not known, such as at another instance
	Instance string `json:"instance"`     // of the connection that ended
}

// Counts are records by what has become of them, and frames of which there are none.
type Counts struct {
	Stored        uint64 `json:"stored"`
	Duplicate     uint64 `json:"duplicate"`
	DeadLettered  uint64 `json:"dead_lettered"`
	Refused       uint64 `json:"refused"`
	RefusedReason string `json:"refused_reason,omitempty"` // the last one, as teltonika_records_refused_total has it
	Messages      uint64 `json:"messages"`                 // stored
	EmptyFrames   uint64 `json:"empty_frames"`             // acknowledged, without a record
	Repeated      uint64 `json:"repeated_frames"`          // nothing but duplicates in them
	WrongCRC      uint64 `json:"wrong_crc"`                // frames
}

// LastRecord is of the last frame whose records are stored, now or before: the one with the latest timestamp.
type LastRecord struct {
	Timestamp Time   `json:"timestamp"`       // the device's
	Fix       string `json:"fix"`             // ok, stale, none
	Clock     string `json:"clock,omitempty"` // future, unset; empty if it is plausible
	Latitude  int32  `json:"latitude_1e7"`
	Longitude int32  `json:"longitude_1e7"`
	Speed     int    `json:"speed"` // km/h
}

// MaxFirst bounds Error.First, in bytes, MaxErrorText its Text.
const (
	MaxFirst     = 64
	MaxErrorText = 200
)

// Error is what was wrong with what a device sent, or why it was refused.
type Error struct {
	At    Time   `json:"at"`
	Cause string `json:"cause"` // of a closed set: see teltonikasession's dispositions, and CauseCutOff
	Text  string `json:"text"`
	First []byte `json:"first,omitempty"` // the frame's first bytes, base64
}

// Causes that this package knows.
const (
	CauseCRC    = "crc"     // a wrong CRC
	CauseCutOff = "cut_off" // a frame or login that did not come to its end
)
