// Package command is what a platform asks of a device, and what becomes of it.
//
// A command is data before it is transport: it is kept durably by a Store from its arrival to its one final result, and
// which bytes go over which connection when is only how it gets there. The Dispatcher of an instance carries out the
// commands of the devices that are connected to it, one at a time for each device, because the protocol's answers do
// not say which command they belong to.
package command

import (
	"errors"
	"fmt"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// What a command has if its sender does not say.
const (
	DefaultTimeout = 30 * time.Second
	DefaultExpiry  = 10 * time.Minute
)

// What a command may have at most.
const (
	MaxIDLength = 128
	MaxPayload  = 4096 // bytes
	MinTimeout  = 100 * time.Millisecond
	MaxTimeout  = 10 * time.Minute
	MaxExpiry   = 30 * 24 * time.Hour
)

// InvalidIMEI is what is wrong with an identifier that no device can log in with.
const InvalidIMEI = "must be 1 to 64 ASCII letters and digits"

// Encoding is how the bytes of a payload are written where only text goes.
type Encoding string

// The encodings.
const (
	Text Encoding = "text" // as they are: printable ASCII, tab, CR and LF
	Hex  Encoding = "hex"
)

// Command is what is asked of a device. The zero values of Codec, Timeout, Created and Expires are filled in by
// Complete.
type Command struct {
	ID         string          // its sender's, executed once: 1 to 128 printable ASCII characters without spaces
	IMEI       string          // 1 to 64 ASCII letters and digits; 15 or 16 digits for Codec 14
	Codec      teltonika.Codec // 12, or 14: the device confirms that it is the one meant
	Payload    []byte          // 1 to 4096 bytes
	Timeout    time.Duration   // for the answer, 0.1 s to 10 min
	Created    time.Time
	Expires    time.Time // it is not sent later than that; 30 days after Created at most
	Idempotent bool      // may be sent twice when it is not known whether it was sent
	Confirm    bool      // its sender means it, however much it destroys; see Policy

	// OnlyIf has to be true of the device's last record at the moment at which the command is written to the connection,
	// or the command is Failed. Nil for none.
	OnlyIf *condition.Condition
}

// Complete fills in what its sender left out.
func (c *Command) Complete(now time.Time) {
	if c.Codec == 0 {
		c.Codec = teltonika.Codec12
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Created.IsZero() {
		c.Created = now
	}
	if c.Expires.IsZero() {
		c.Expires = c.Created.Add(DefaultExpiry)
	}
}

// Validate names every field that is wrong, by its name outside of the program; see [FieldError].
func (c *Command) Validate() error {
	var errs []error
	wrong := func(field, format string, args ...any) {
		errs = append(errs, &FieldError{field, fmt.Sprintf(format, args...)})
	}
	if !printable(c.ID) || len(c.ID) > MaxIDLength {
		wrong("id", "must be 1 to %d printable ASCII characters without spaces", MaxIDLength)
	}
	switch {
	case !teltonika.ValidIdentifier(c.IMEI):
		wrong("imei", InvalidIMEI)
	case c.Codec == teltonika.Codec14 && !isIMEI(c.IMEI):
		wrong("imei", "must be 15 or 16 digits for codec 14")
	}
	if c.Codec != teltonika.Codec12 && c.Codec != teltonika.Codec14 {
		wrong("codec", "must be 12 or 14")
	}
	if n := len(c.Payload); n == 0 || n > MaxPayload {
		wrong("payload", "has %d bytes, must have 1 to %d", n, MaxPayload)
	}
	if c.Timeout < MinTimeout || c.Timeout > MaxTimeout {
		wrong("timeout_ms", "is %d, must be %d to %d",
			c.Timeout.Milliseconds(), MinTimeout.Milliseconds(), MaxTimeout.Milliseconds())
	}
	if c.Expires.After(c.Created.Add(MaxExpiry)) {
		wrong("expires_at", "must be at most %v after the command was made", MaxExpiry)
	}
	return errors.Join(errs...)
}

// FieldError is a field of a command that is wrong.
type FieldError struct {
	Field   string // its name in the stream and in JSON
	Problem string
}

func (e *FieldError) Error() string { return e.Field + " " + e.Problem }

// Frame is the command as it goes to the device (Teltonika data protocol, Codec 12 and Codec 14).
func (c *Command) Frame() ([]byte, error) {
	m := teltonika.Message{Type: teltonika.TypeCommand, Payload: c.Payload}
	if c.Codec == teltonika.Codec14 {
		m.IMEI = c.IMEI
	}
	packet := teltonika.Messages{Codec: c.Codec, Messages: []teltonika.Message{m}}
	return packet.AppendFrame(nil)
}

func isIMEI(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return len(s) == 15 || len(s) == 16
}

// printable reports whether s is not empty and only of visible ASCII characters.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}
