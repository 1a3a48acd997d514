// Package forward reads the engine as a consumer and delivers what is stored to a sink: at least once, in each device's
// order. It never takes anything from the service: it is a process of its own, which reads what is stored already.
package forward

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Item is a record on its way to a sink.
type Item struct {
	ID       string    // the record's, the same whenever it is delivered again
	DeviceID string    // 1 to 64 ASCII letters and digits
	Codec    string    // "7", "8", "8E" or "16"
	Family   string    // of the device, as in the record: "" if nothing says what it is
	Time     time.Time // the record's own, by the device's clock
	Payload  []byte    // a JSON object on one line in the configured format, without a line end
}

// Sink is where records go. One goroutine uses it.
type Sink interface {
	// Deliver delivers the batch in its order and returns nil when all of it is delivered or, by the sink's Refuse, put
	// aside. The batch has 1 item at least, and no more than the loop's bounds of count and bytes, but for one larger
	// item alone. With an error the loop calls again after a pause, for ever, with the same batch, of which the sink may
	// have delivered a part; with one that is ErrPermanent the process ends. The sink bounds its own waits; ctx ends when
	// the process has to. Nothing of the batch may be kept after the return.
	Deliver(ctx context.Context, batch []Item) error

	// Close releases everything.
	Close() error
}

// BatchName is the same for a batch that a sink gets again, and for no other one that comes before or after it.
func BatchName(batch []Item) string {
	return fmt.Sprint(len(batch), " ", batch[0].ID, " ", batch[len(batch)-1].ID)
}

// Refuse puts items aside for good, because the sink refuses them for that reason, and returns when that is durable.
// Its error is one that Deliver returns: what cannot be put aside is tried again.
type Refuse func(reason string, items ...Item) error

// OptionError is what is wrong with one of a sink's options.
type OptionError struct {
	Option string // the name of its field
	Err    error
}

func (e *OptionError) Error() string { return e.Option + ": " + e.Err.Error() }

func (e *OptionError) Unwrap() error { return e.Err }

// WrongOption is nil if err is, else an *OptionError.
func WrongOption(option string, err error) error {
	if err == nil {
		return nil
	}
	return &OptionError{option, err}
}

// ErrPermanent is in the chain of an error of Deliver that no retry can mend, and that is not the items' fault.
var ErrPermanent = errors.New("the sink can take nothing as it is set up")

// RetryError is an error of Deliver that says when to try again.
type RetryError struct {
	After time.Duration // the loop waits so long at least, up to its longest pause
	Err   error
}

func (e *RetryError) Error() string { return e.Err.Error() }

func (e *RetryError) Unwrap() error { return e.Err }
