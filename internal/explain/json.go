package explain

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// The objects' keys are in the order in which they are printed. What a cut-off or unknown packet does not have is
// null.

type dataObject struct {
	OK        bool    `json:"ok"`
	Error     string  `json:"error,omitempty"`
	Transport *string `json:"transport"`
	*datagramObject
	Codec    *string         `json:"codec"`
	CRCOK    *bool           `json:"crc_ok"` // null over UDP, which has no CRC
	Count    *int            `json:"count"`  // number of data 1
	Ack      *string         `json:"ack"`    // the answer in hex, null if there is none
	Records  []recordObject  `json:"records,omitzero"`
	Messages []messageObject `json:"messages,omitzero"` // instead of the records
	Meaning  *meaningObject  `json:"meaning,omitempty"`
}

type datagramObject struct {
	IMEI        *string `json:"imei"`
	PacketID    *uint16 `json:"packet_id"`
	AVLPacketID *byte   `json:"avl_packet_id"`
}

type recordObject struct {
	Timestamp  uint64       `json:"timestamp_ms"`
	Priority   uint8        `json:"priority"`
	Longitude  *json.Number `json:"lon_1e7"` // null if positions are hidden, as latitude and altitude
	Latitude   *json.Number `json:"lat_1e7"`
	Altitude   *int16       `json:"altitude"`
	Angle      uint16       `json:"angle"`
	Satellites uint8        `json:"satellites"`
	Speed      uint16       `json:"speed"`
	EventID    uint16       `json:"event_id"`
	Generation *uint8       `json:"generation_type"` // null except with Codec 16
	*recordObject7
	IO [][3]any `json:"io"` // id, size, value in hex
}

type messageObject struct {
	Type      byte    `json:"type"`
	Timestamp *uint32 `json:"timestamp"` // s since 1970 UTC, null except with Codec 13 and 15
	IMEI      *string `json:"imei"`      // null except with Codec 14 and 15
	Payload   *string `json:"payload"`   // hex; null if positions are hidden
	Text      *string `json:"text"`      // null unless the payload is printable ASCII
}

// otherObject is every packet that carries no data field.
type otherObject struct {
	OK          bool    `json:"ok"`
	Error       string  `json:"error,omitempty"`
	Transport   *string `json:"transport"`
	Kind        string  `json:"kind,omitempty"`
	IMEI        string  `json:"imei,omitempty"`
	PacketID    *uint16 `json:"packet_id,omitempty"`
	AVLPacketID *byte   `json:"avl_packet_id,omitempty"`
	Accepted    *int    `json:"accepted,omitempty"`
	Ack         *string `json:"ack,omitempty"`
}

// WriteJSON writes the packet as one JSON object on a line.
func (p *Packet) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	if p.Kind == KindData {
		return encoder.Encode(p.dataObject())
	}
	return encoder.Encode(p.otherObject())
}

func (p *Packet) otherObject() otherObject {
	o := otherObject{
		OK: p.OK(), Error: p.errorText(), Transport: orNull(string(p.Transport)), Kind: string(p.Kind),
		IMEI: p.Login, Ack: p.answerHex(),
	}
	if p.Kind == KindAck {
		o.PacketID, o.AVLPacketID, o.Accepted = &p.Ack.PacketID, &p.Ack.AVLPacketID, &p.Ack.Accepted
	}
	return o
}

func (p *Packet) dataObject() dataObject {
	o := dataObject{OK: p.OK(), Error: p.errorText(), Transport: orNull(string(p.Transport)), Ack: p.answerHex()}
	if p.Transport == UDP {
		o.datagramObject = &datagramObject{IMEI: orNull(p.Datagram.IMEI)}
		if len(p.Raw) >= udpHeaderSize {
			o.PacketID, o.AVLPacketID = &p.Datagram.PacketID, &p.Datagram.AVLPacketID
		}
	}
	if codec, ok := p.Codec(); ok {
		o.Codec = orNull(codec.String())
	}
	if ok, known := p.CRC(); known {
		o.CRCOK = &ok
	}
	if count, ok := p.Count(); ok {
		o.Count = &count
	}
	if p.Messages != nil {
		o.Messages = messageObjects(p.Messages)
	} else {
		o.Records = recordObjects(p.AVL)
		p.addCodec7(o.Records)
		o.Meaning = p.meaning()
	}
	if p.private {
		p.hideIn(&o)
	}
	return o
}

func (p *Packet) errorText() string {
	if p.OK() {
		return ""
	}
	return p.Err().Error()
}

func (p *Packet) answerHex() *string {
	answer, _ := p.Answer()
	return orNull(hex.EncodeToString(answer))
}

func recordObjects(data *teltonika.AVLData) []recordObject {
	objects := []recordObject{}
	if data == nil {
		return objects
	}
	for i := range data.Records {
		r := &data.Records[i]
		o := recordObject{
			Timestamp: r.Timestamp, Priority: r.Priority, Longitude: decimal(r.Longitude), Latitude: decimal(r.Latitude),
			Altitude: &r.Altitude, Angle: r.Angle, Satellites: r.Satellites, Speed: r.Speed, EventID: r.EventID,
			IO: make([][3]any, len(r.Elements)),
		}
		if data.Codec == teltonika.Codec16 {
			o.Generation = &r.Generation
		}
		for j, e := range r.Elements {
			o.IO[j] = [3]any{e.ID, e.Size, elementHex(r, e)}
		}
		objects = append(objects, o)
	}
	return objects
}

// elementHex is the value of an element as sent.
func elementHex(r *teltonika.Record, e teltonika.Element) string {
	if e.Numeric() {
		return fmt.Sprintf("%0*x", 2*int(e.Size), e.Uint())
	}
	return hex.EncodeToString(r.Bytes(e))
}

func messageObjects(m *teltonika.Messages) []messageObject {
	objects := []messageObject{}
	for i := range m.Messages {
		msg := &m.Messages[i]
		o := messageObject{Type: msg.Type, IMEI: orNull(msg.IMEI), Payload: new(hex.EncodeToString(msg.Payload))}
		if m.Codec.HasTimestamp() {
			o.Timestamp = &msg.Timestamp
		}
		if printable(msg.Payload) {
			o.Text = orNull(string(msg.Payload))
		}
		objects = append(objects, o)
	}
	return objects
}

// printable reports whether b is ASCII text with at most tabs and line ends. No bytes are no text.
func printable(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return len(b) > 0
}

// orNull is nil for an empty string.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
