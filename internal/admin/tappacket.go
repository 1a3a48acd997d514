package admin

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/explain"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// TapPacket is a packet as a tap shows it; see [tap.Packet].
type TapPacket struct {
	Time      Time              `json:"time"`
	Instance  string            `json:"instance"`
	IMEI      string            `json:"imei,omitempty"`
	Address   string            `json:"address,omitempty"`
	Transport string            `json:"transport"`
	Direction string            `json:"direction"`
	Kind      tap.Kind          `json:"kind"`
	Outcome   tap.Outcome       `json:"outcome"`
	Reason    string            `json:"reason,omitempty"`
	Error     string            `json:"error,omitempty"`
	Stranger  bool              `json:"stranger,omitempty"`
	Size      int               `json:"size"`
	Hex       string            `json:"hex"`
	Hidden    int               `json:"hidden,omitempty"`
	Answer    string            `json:"answer,omitempty"`
	AnswerMS  float64           `json:"answer_ms,omitempty"`
	Explained []json.RawMessage `json:"explained,omitempty"`
	Text      string            `json:"text,omitempty"`
}

// The directions of packets, as the server sees them.
const (
	directionIn  = "in"
	directionOut = "out"
)

// explainer explains the packets of one tap, one after the other.
type explainer struct {
	view     *TapView
	instance string
	devices  explain.Devices
}

// newExplainer returns one that uses the dictionary that is in force now; nil for the embedded one.
func newExplainer(view *TapView, instance string, dictionary func() *meaning.Dictionary) *explainer {
	e := &explainer{view: view, instance: instance}
	if dictionary != nil {
		e.devices.Dictionary = dictionary()
	}
	return e
}

// packet is the packet with its explanation.
func (e *explainer) packet(p *tap.Packet) *TapPacket {
	t := &TapPacket{Time: Time{Time: p.Time}, Instance: e.instance, IMEI: p.IMEI, Transport: p.Transport,
		Direction: directionIn, Kind: p.Kind, Outcome: p.Outcome, Reason: p.Reason, Error: p.Error, Stranger: p.Stranger,
		Size: p.Size, Answer: hex.EncodeToString(p.Answer)}
	if p.Address.IsValid() {
		t.Address = p.Address.String()
	}
	if p.Kind == tap.Command {
		t.Direction = directionOut
	}
	if p.Answer != nil {
		t.AnswerMS = float64(p.Took.Microseconds()) / 1000
	}
	var text strings.Builder
	for part := range e.parts(p) {
		if p.Kind != tap.Command {
			part.Answered(p.Answer, outcomeText(p))
		}
		if !e.view.Positions {
			part.HidePositions()
		}
		shown, hidden := part.Hex()
		t.Hex, t.Hidden = t.Hex+shown, t.Hidden+hidden
		if e.view.Explain != "text" {
			t.Explained = append(t.Explained, objectOf(part))
		}
		if e.view.Explain != "json" {
			part.WriteText(&text) // which does not fail
		}
	}
	t.Text = text.String()
	return t
}

// parts are what the bytes hold: one packet, unless somebody sends something else. Nobody vouches for what a stranger
// says of himself, so nothing of that is kept for others.
func (e *explainer) parts(p *tap.Packet) func(func(*explain.Packet) bool) {
	transport := explain.TCP
	if p.Transport == string(explain.UDP) {
		transport = explain.UDP
	}
	devices := &e.devices
	if p.Stranger {
		devices = &explain.Devices{Dictionary: devices.Dictionary}
	}
	return devices.PacketsOf(p.IMEI, p.Bytes, transport)
}

func objectOf(part *explain.Packet) json.RawMessage {
	var object bytes.Buffer
	part.WriteJSON(&object) // which does not fail
	return bytes.TrimSpace(object.Bytes())
}

// outcomeText is the outcome in words.
func outcomeText(p *tap.Packet) string {
	text := strings.ReplaceAll(string(p.Outcome), "_", " ")
	if p.Reason != "" {
		text += fmt.Sprintf(" (%s)", p.Reason)
	}
	return text
}
