package simulate

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// Order is the order in which a device sends the records that it holds, within a frame and from frame
// to frame.
type Order string

// The orders that a tracker can be configured to. Newest first is the factory setting.
const (
	NewestFirst Order = "newest-first"
	OldestFirst Order = "oldest-first"
)

// Dialer opens a device's connection. The device's number, 0 to Devices-1, lets it choose a source
// address.
type Dialer func(ctx context.Context, device int) (net.Conn, error)

// Options describe a fleet and what it does. Start from Defaults.
type Options struct {
	Address string // host:port of the server
	Devices int    // number of trackers, each with one connection, or one socket of UDP
	Seed    uint64 // everything random follows from it; the records' times follow from Start too

	Transport Transport

	// TLS is the client's side of the transport TLS; nil = trust the system's CAs. An empty ServerName is the Address's
	// host. Without a ClientSessionCache every device resumes its own sessions, unless SessionTicketsDisabled.
	TLS *tls.Config

	// Loss, Duplicate and Reorder, 0 to 1, are what the network does to datagrams of the transport UDP, in each
	// direction: the share Loss is lost; of the others, the share Duplicate arrives twice, and of these copies the share
	// Reorder arrives late, by up to ReorderDelay, so that datagrams sent after them arrive before them.
	Loss         float64
	Duplicate    float64
	Reorder      float64
	ReorderDelay time.Duration

	// The run ends when either is reached, or with the context. Zero is no limit. Duration counts from the first
	// connection, the ramp included.
	Duration time.Duration
	Records  int64 // to be acknowledged, divided evenly among the devices

	Rate            float64 // records a second of the whole fleet; 0 = as fast as the ACKs allow
	RecordsPerFrame Range   // 1 to 255; over UDP fewer if they would not fit into a datagram
	Codecs          Mix
	Order           Order

	// Reconnect is the probability, 0 to 1, that a device drops its connection after an ACK and
	// connects anew, over UDP from another port. With Burst it was in a coverage gap meanwhile, and comes back with that
	// many records recorded in the gap. LoseACK is the probability that it drops the connection after sending a frame, so
	// that it never learns of the ACK and sends the same bytes again.
	Reconnect float64
	Burst     int
	LoseACK   float64

	Backlog   int           // most records that a device keeps before it sends them; more are not recorded
	KeepAlive time.Duration // an idle device sends the byte FF so often; 0 = never

	// ResponseTimeout is how long a device waits for an answer. Then it closes, connects and sends again; over UDP it
	// sends again.
	ResponseTimeout time.Duration

	Retry time.Duration // pause after the first failure to connect; doubles up to 8 times that
	Drain time.Duration // how long the ended run waits for the ACKs of what was sent

	// A device executes every command and answers it in the codec that it came in, after the latency. Four shares, each 0
	// to 1, also together, do otherwise. CommandSilence: it executes and never answers. CommandLate: it answers only after
	// CommandLateBy. CommandTwice: it answers once more after another latency. CommandNack, in Codec 14 alone: it refuses
	// with a nACK and does not execute, as always when a command names another IMEI. When a connection ends, the device
	// sends a pending answer on the next one with the probability CommandCarry, and else never.
	CommandLatency       DurationRange
	CommandSilence       float64
	CommandLate          float64
	CommandLateBy        time.Duration
	CommandNack          float64
	CommandTwice         float64
	CommandCarry         float64
	CommandIgnoreUnknown bool // do not answer commands that a device does not know; otherwise it says so

	Messages float64 // that a device sends of its own accord, a minute: serial data in Codec 15 and offers of pictures

	Ramp     float64      // connections a second at the start; 0 = all at once
	Sources  []netip.Addr // addresses of this machine that the devices connect from; none = as needed
	IMEIBase uint64       // the first device's IMEI, 15 digits; the others count up from it

	Start time.Time // where the devices' clocks begin, not in the future; zero = now or, without a Rate, a week ago

	Acknowledged io.Writer // gets one line for each acknowledged record, see Run; nil = none
	Executed     io.Writer // gets one line for each executed command, see Run; nil = none
	Confirmed    io.Writer // gets one line for each message that must be stored, see Run; nil = none
	Progress     io.Writer // gets one line a second; nil = none

	// Dial opens connections in place of plain TCP, or of a UDP socket, to Address. TLS is made on top of it.
	Dial Dialer
}

// Defaults are options that are complete but for the Address.
func Defaults() Options {
	return Options{
		Devices:         100,
		Seed:            1,
		Transport:       TCP,
		ReorderDelay:    200 * time.Millisecond,
		RecordsPerFrame: Range{Min: 1, Max: 10},
		Codecs: Mix{
			{Codec: teltonika.Codec8, Weight: 80},
			{Codec: teltonika.Codec8E, Weight: 15},
			{Codec: teltonika.Codec16, Weight: 5},
		},
		Order:           NewestFirst,
		Backlog:         1000,
		ResponseTimeout: 30 * time.Second,
		Retry:           time.Second,
		Drain:           35 * time.Second,
		CommandLatency:  DurationRange{Min: 50 * time.Millisecond, Max: 500 * time.Millisecond},
		CommandLateBy:   time.Minute,
		CommandCarry:    0.1,
		Ramp:            2000,
		IMEIBase:        350000000000000,
	}
}

// OptionError is an option with a value that cannot be used.
type OptionError struct {
	Field   string // of Options
	Problem string
}

func (e *OptionError) Error() string { return e.Field + ": " + e.Problem }

const (
	minIMEI = 100_000_000_000_000
	maxIMEI = 999_999_999_999_999

	maxDevices  = 1_000_000
	maxSources  = 254
	maxMessages = 60_000 // a minute

	maxDeviceRate = 1000 // records a second
)

// Validate returns every problem of the options at once, each an *OptionError.
func (o *Options) Validate() error {
	var errs []error
	check := func(ok bool, field, format string, args ...any) {
		if !ok {
			errs = append(errs, &OptionError{Field: field, Problem: fmt.Sprintf(format, args...)})
		}
	}
	if o.Dial == nil {
		_, port, err := net.SplitHostPort(o.Address)
		check(err == nil && port != "", "Address", "%q is not host:port", o.Address)
	}
	o.validateTransport(check)
	check(o.Devices >= 1 && o.Devices <= maxDevices, "Devices", "%d, expected 1 to %d", o.Devices, maxDevices)
	check(o.Duration >= 0, "Duration", "%v is negative", o.Duration)
	check(o.Records >= 0, "Records", "%d is negative", o.Records)
	check(o.Rate >= 0, "Rate", "%v is negative", o.Rate)
	check(o.Devices < 1 || o.Rate <= maxDeviceRate*float64(o.Devices), "Rate",
		"%v, expected at most %d for each device: records are stamped in ms", o.Rate, maxDeviceRate)
	r := o.RecordsPerFrame
	check(1 <= r.Min && r.Min <= r.Max && r.Max <= teltonika.MaxRecords,
		"RecordsPerFrame", "%v, expected 1 to %d", r, teltonika.MaxRecords)
	check(o.Codecs.total() > 0, "Codecs", "no codec has a weight above 0")
	for _, share := range o.Codecs {
		check(simulated(share.Codec) && share.Weight >= 0, "Codecs", "%v:%d, expected 8, 8E or 16 with a weight of 0 or more",
			share.Codec, share.Weight)
	}
	check(o.Order == NewestFirst || o.Order == OldestFirst, "Order", "%q, expected %s or %s", o.Order, NewestFirst,
		OldestFirst)
	check(o.Reconnect >= 0 && o.Reconnect <= 1, "Reconnect", "%v, expected a probability from 0 to 1", o.Reconnect)
	check(o.LoseACK >= 0 && o.LoseACK < 1, "LoseACK", "%v, expected a probability from 0 to less than 1", o.LoseACK)
	check(o.Backlog >= r.Max, "Backlog", "%d is less than one frame of %d records", o.Backlog, r.Max)
	check(o.Burst >= 0 && o.Burst <= o.Backlog, "Burst", "%d, expected 0 to the backlog's %d", o.Burst, o.Backlog)
	check(o.Burst == 0 || o.Reconnect > 0, "Burst", "%d without reconnections: a coverage gap ends with one", o.Burst)
	check(o.KeepAlive >= 0, "KeepAlive", "%v is negative", o.KeepAlive)
	check(o.ResponseTimeout > 0, "ResponseTimeout", "%v, expected more than 0", o.ResponseTimeout)
	check(o.Retry > 0, "Retry", "%v, expected more than 0", o.Retry)
	check(o.Drain >= 0, "Drain", "%v is negative", o.Drain)
	o.validateCommands(check)
	check(o.Ramp >= 0, "Ramp", "%v is negative", o.Ramp)
	check(len(o.Sources) <= maxSources, "Sources", "%d addresses, expected %d at most", len(o.Sources), maxSources)
	for _, source := range o.Sources {
		check(source.IsValid() && !source.IsUnspecified(), "Sources", "%v is no address to connect from", source)
	}
	check(o.IMEIBase >= minIMEI && o.IMEIBase <= maxIMEI-maxDevices, "IMEIBase", "%d, expected 15 digits up to %d",
		o.IMEIBase, maxIMEI-maxDevices)
	check(o.Start.IsZero() || o.Start.UnixMilli() >= 0, "Start", "%v is before 1970", o.Start)
	check(!o.Start.After(time.Now()), "Start", "%v is in the future", o.Start)
	return errors.Join(errs...)
}

// validateCommands checks what a device does about commands.
func (o *Options) validateCommands(check func(ok bool, field, format string, args ...any)) {
	latency := o.CommandLatency
	check(0 <= latency.Min && latency.Min <= latency.Max, "CommandLatency", "%v, expected a range of 0 or more", latency)
	check(o.CommandLateBy >= 0, "CommandLateBy", "%v is negative", o.CommandLateBy)
	together := 0.0
	for _, share := range []struct {
		field string
		value float64
	}{
		{"CommandSilence", o.CommandSilence}, {"CommandLate", o.CommandLate},
		{"CommandNack", o.CommandNack}, {"CommandTwice", o.CommandTwice},
	} {
		together += max(0, share.value)
		check(share.value >= 0 && together <= 1, share.field,
			"%v, expected a share from 0 to 1, also together with those before it: %v",
			share.value, together)
	}
	check(o.CommandCarry >= 0 && o.CommandCarry <= 1, "CommandCarry", "%v, expected a probability from 0 to 1",
		o.CommandCarry)
	check(o.Messages >= 0 && o.Messages <= maxMessages, "Messages", "%v a minute, expected 0 to %d", o.Messages,
		maxMessages)
}
