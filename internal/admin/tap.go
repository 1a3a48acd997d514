package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
)

// How long a tap lasts. One that somebody has forgotten ends.
const (
	MaxTap     = 24 * time.Hour
	defaultTap = time.Hour
)

const (
	tapKeepAlive    = 15 * time.Second // between two signs of life
	tapWriteTimeout = 10 * time.Second // for a reader to take an event
	tapFarewell     = time.Second      // the same, when the server stops
	keepTapBuffer   = 256 << 10        // bytes
)

// The names of the events of a tap.
const (
	eventOpen    = "open"
	eventPacket  = "packet"
	eventDropped = "dropped"
	eventEnd     = "end"
)

// Why a tap ends, in its log line and, but for the first, in its last event.
const (
	tapLeft     = "left"     // the reader has gone, or did not read
	tapOver     = "over"     // it was to last so long
	tapStopping = "stopping" // the server
)

// Transports are those of packets: http and admin are doors at which only strangers knock.
var Transports = []string{"tcp", "tls", "udp", "http", "admin"}

// TapView is what a tap shows, as its request says.
type TapView struct {
	tap.Filter
	Positions bool          // show where devices are
	Explain   string        // how packets are explained: json, text or both
	For       time.Duration // MaxTap at most
}

// String is what is asked for, as parameters.
func (v *TapView) String() string {
	q := make(url.Values)
	for name, value := range map[string]string{
		"imei": v.IMEI, "transport": v.Transport, "outcome": OutcomeNames(v.Outcomes), "explain": v.Explain,
	} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if v.Network.IsValid() {
		q.Set("address", v.Network.String())
	}
	for name, on := range map[string]bool{"strangers": v.Strangers, "positions": v.Positions} {
		if on {
			q.Set(name, "true")
		}
	}
	if v.For > 0 {
		q.Set("for_ms", strconv.FormatInt(v.For.Milliseconds(), 10))
	}
	return q.Encode()
}

// tap streams packets until their reader has enough.
func (s *Server) tap(w http.ResponseWriter, r *http.Request) error {
	view, err := readTapView(r)
	if err != nil {
		return err
	}
	t, err := s.Tap.Open(view.Filter)
	if err != nil {
		return again(fmt.Sprintf("%v, %d at most: end one, or try again", err, tap.MaxTaps))
	}
	began := time.Now()
	log := s.Logger.With("remote", r.RemoteAddr)
	log.Info("tap opened", "filter", view.String())
	reason := tapLeft
	defer func() {
		shown, dropped := t.Close()
		log.Info("tap closed", "reason", reason, "duration", time.Since(began).Round(time.Millisecond),
			"shown", shown, "dropped", dropped)
	}()
	reason = (&tapStream{Server: s, view: view, tap: t, w: w, rc: http.NewResponseController(w)}).run(r.Context())
	return nil
}

// readTapView reads the parameters.
func readTapView(r *http.Request) (*TapView, error) {
	q, err := query(r, "imei", "address", "transport", "outcome", "strangers", "positions", "explain", "for_ms")
	if err != nil {
		return nil, err
	}
	wrong := make(map[string]string)
	v := &TapView{
		Filter: tap.Filter{IMEI: q.Get("imei"), Strangers: isTrue(q, "strangers", wrong),
			Transport: oneOf(q, "transport", wrong, append([]string{""}, Transports...)...)},
		Positions: isTrue(q, "positions", wrong), Explain: oneOf(q, "explain", wrong, "json", "text", "both"),
		For: defaultTap,
	}
	if q.Has("address") {
		if v.Network, err = ParseNetwork(q.Get("address")); err != nil {
			wrong["address"] = err.Error()
		}
	}
	if q.Has("outcome") {
		if v.Outcomes, err = ParseOutcomes(q.Get("outcome")); err != nil {
			wrong["outcome"] = err.Error()
		}
	}
	if q.Has("for_ms") {
		v.For = millisParameter(q, "for_ms", time.Millisecond, MaxTap, wrong)
	}
	return v, wrongFields(wrong)
}

// ParseNetwork reads an address, or a network as 198.51.100.0/24.
func ParseNetwork(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, errors.New("must be an IP address without port, or a network such as 198.51.100.0/24")
	}
	return p.Masked(), nil
}

// ParseOutcomes reads outcomes with commas between them.
func ParseOutcomes(text string) ([]tap.Outcome, error) {
	var all []tap.Outcome
	for name := range strings.SplitSeq(text, ",") {
		if !slices.Contains(tap.Outcomes, tap.Outcome(name)) {
			return nil, fmt.Errorf("must be some of %s", OutcomeNames(tap.Outcomes))
		}
		all = append(all, tap.Outcome(name))
	}
	return all, nil
}

// OutcomeNames are the outcomes with commas between them.
func OutcomeNames(outcomes []tap.Outcome) string {
	var names []string
	for _, o := range outcomes {
		names = append(names, string(o))
	}
	return strings.Join(names, ",")
}

// oneOf reads a parameter that has one of the values; if it is not given, it has the first.
func oneOf(q url.Values, name string, wrong map[string]string, values ...string) string {
	value := q.Get(name)
	switch {
	case !q.Has(name):
		return values[0]
	case !slices.Contains(values, value) || value == "":
		wrong[name] = "must be one of " + strings.TrimPrefix(strings.Join(values, ", "), ", ")
	}
	return value
}

func isTrue(q url.Values, name string, wrong map[string]string) bool {
	return oneOf(q, name, wrong, "false", "true") == "true"
}

// tapStream is a tap whose reader is there.
type tapStream struct {
	*Server
	view   *TapView
	tap    *tap.Tap
	w      http.ResponseWriter
	rc     *http.ResponseController
	buffer bytes.Buffer
}

// run writes events until the end, and returns why that came.
func (t *tapStream) run(ctx context.Context) (reason string) {
	over, cancel := context.WithTimeout(ctx, t.view.For)
	defer cancel()
	defer context.AfterFunc(t.closing, func() {
		cancel()
		t.rc.SetWriteDeadline(time.Now().Add(tapFarewell))
	})()
	t.begin()
	explainer := newExplainer(t.view, t.Instance, t.Dictionary)
	for {
		p, dropped, err := t.tap.Next(over, tapKeepAlive)
		switch {
		case ctx.Err() != nil:
			return tapLeft
		case t.closing.Err() != nil:
			return t.end(tapStopping)
		case err != nil:
			return t.end(tapOver)
		}
		if dropped > 0 {
			t.event(eventDropped, map[string]uint64{"dropped": dropped})
		}
		if p != nil {
			t.inTurn(over, func() { t.event(eventPacket, explainer.packet(p)) })
		} else if dropped == 0 {
			t.buffer.WriteString(": nothing new\n\n")
		}
		if t.flush() != nil {
			return tapLeft
		}
	}
}

// explainShare is which part of one processor explaining may take, one in so many, for all taps together. So it costs
// devices next to nothing, however many packets come and however large they are.
const explainShare = 20

// inTurn explains when it is this tap's turn. The next turn comes when the share allows it. It does nothing if ctx ends
// before.
func (t *tapStream) inTurn(ctx context.Context, explain func()) {
	select {
	case t.explaining <- struct{}{}:
	case <-ctx.Done():
		return
	}
	began := time.Now()
	defer func() { time.AfterFunc((explainShare-1)*time.Since(began), func() { <-t.explaining }) }()
	explain()
}

// begin writes the header and the first event, so that the reader knows that the tap is open.
func (t *tapStream) begin() {
	setJSON(t.w.Header())
	t.w.Header().Set("Content-Type", "text/event-stream")
	t.w.Header().Set("X-Accel-Buffering", "no") // a proxy in front shall pass on each event at once
	t.event(eventOpen, map[string]any{"instance": t.Instance, "positions": t.view.Positions,
		"until": Time{Time: time.Now().Add(t.view.For)}})
	t.flush()
}

func (t *tapStream) end(reason string) string {
	t.event(eventEnd, map[string]string{"reason": reason})
	t.flush()
	return reason
}

// event adds an event to the buffer. JSON has no line ends, which would end the event's data.
func (t *tapStream) event(name string, data any) {
	fmt.Fprintf(&t.buffer, "event: %s\ndata: ", name)
	encoder := json.NewEncoder(&t.buffer)
	encoder.SetEscapeHTML(false)
	encoder.Encode(data)
	t.buffer.WriteByte('\n')
}

// flush writes the buffer. It fails if the reader does not take it in time.
func (t *tapStream) flush() error {
	t.rc.SetWriteDeadline(time.Now().Add(tapWriteTimeout))
	if t.closing.Err() != nil { // asked after the deadline is set: if closing begins later, it overwrites the deadline
		t.rc.SetWriteDeadline(time.Now().Add(tapFarewell))
	}
	_, err := t.w.Write(t.buffer.Bytes())
	if t.buffer.Reset(); t.buffer.Cap() > keepTapBuffer {
		t.buffer = bytes.Buffer{}
	}
	return errors.Join(err, t.rc.Flush())
}
