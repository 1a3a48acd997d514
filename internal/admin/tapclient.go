package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"
)

// TapEvent is what a tap tells: a packet, or how many were not shown, or neither of them: that it is open now.
type TapEvent struct {
	Packet  *TapPacket
	Dropped uint64
	JSON    json.RawMessage // as it came
}

const (
	maxEvent   = 16 << 20         // bytes of a line; a packet's explanation takes a few hundred times the packet at most
	tapSilence = 3 * tapKeepAlive // after which the server is gone
)

// TapEnded is the error of a tap that the server has ended.
type TapEnded struct {
	Reason string // over: it was to last so long; stopping: the server stops
}

func (e *TapEnded) Error() string {
	if e.Reason == tapOver {
		return "the time of the tap is over"
	}
	return "the server is " + e.Reason
}

// Over reports whether the tap has lasted for as long as it was to.
func (e *TapEnded) Over() bool { return e.Reason == tapOver }

// Tap shows packets as they come, until ctx ends. The last error may be a [*TapEnded].
func (c *Client) Tap(ctx context.Context, v *TapView) iter.Seq2[TapEvent, error] {
	return func(yield func(TapEvent, error) bool) {
		ctx, giveUp := context.WithCancelCause(ctx)
		defer giveUp(nil)
		response, err := c.send(ctx, http.MethodGet, "/v1/tap?"+v.String(), nil, 0)
		if err != nil {
			yield(TapEvent{}, err)
			return
		}
		defer response.Body.Close()
		silence := time.AfterFunc(tapSilence, func() { giveUp(&noAnswer{tapSilence}) })
		defer silence.Stop()
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, maxEvent)
		err = eachEvent(lines, func() { silence.Reset(tapSilence) }, func(e TapEvent) bool { return yield(e, nil) })
		if err == nil {
			return
		}
		if late, silent := context.Cause(ctx).(*noAnswer); silent {
			err = late
		}
		yield(TapEvent{}, err)
	}
}

// eachEvent reads events until fn has enough, which is no error, or the stream ends.
func eachEvent(lines *bufio.Scanner, alive func(), fn func(TapEvent) bool) error {
	name := ""
	for lines.Scan() {
		alive()
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "event":
			name = value
		case "data":
			e, err := tapEvent(name, value)
			if err != nil {
				return err
			}
			if !fn(e) {
				return nil
			}
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF // a tap says when it ends
}

func tapEvent(name, data string) (e TapEvent, err error) {
	e.JSON = json.RawMessage(data)
	switch name {
	case eventPacket:
		e.Packet = new(TapPacket)
		err = json.Unmarshal(e.JSON, e.Packet)
	case eventDropped:
		var d struct{ Dropped uint64 }
		err = json.Unmarshal(e.JSON, &d)
		e.Dropped = d.Dropped
	case eventEnd:
		ended := new(TapEnded)
		if err = json.Unmarshal(e.JSON, ended); err == nil {
			return e, ended
		}
	}
	if err != nil {
		return e, fmt.Errorf("not this API: %w", err)
	}
	return e, nil
}
