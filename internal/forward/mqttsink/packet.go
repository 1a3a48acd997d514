package mqttsink

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/mochi-mqtt/server/v2/packets"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
)

// maxPacket is more than a broker has to say to somebody who subscribes to nothing.
const maxPacket = 64 << 10

// refusal is the first code of a packet that says no.
const refusal = 0x80

// connectPacket says who we are. There is no session to go on with: what was not acknowledged is published again.
func connectPacket(version byte, clientID string, keepAlive uint16, user, password string) ([]byte, error) {
	p := packets.Packet{ProtocolVersion: version, FixedHeader: packets.FixedHeader{Type: packets.Connect}}
	p.Connect = packets.ConnectParams{ProtocolName: []byte("MQTT"), Clean: true, Keepalive: keepAlive,
		ClientIdentifier: clientID}
	if user != "" {
		p.Connect.UsernameFlag, p.Connect.Username = true, []byte(user)
	}
	if password != "" {
		p.Connect.PasswordFlag, p.Connect.Password = true, []byte(password)
	}
	p.Properties.MaximumPacketSize = maxPacket
	var b bytes.Buffer
	err := p.ConnectEncode(&b)
	return b.Bytes(), err
}

// message is what is published.
type message struct {
	id      uint16
	topic   string
	retain  bool
	payload []byte
}

func appendPublish(b *bytes.Buffer, version byte, m message) error {
	p := packets.Packet{ProtocolVersion: version, PacketID: m.id, TopicName: m.topic, Payload: m.payload,
		FixedHeader: packets.FixedHeader{Type: packets.Publish, Qos: 1, Retain: m.retain}}
	p.Properties.PayloadFormatFlag, p.Properties.PayloadFormat = true, 1 // UTF-8
	p.Properties.ContentType = "application/json"
	return p.PublishEncode(b)
}

var (
	pingPacket       = []byte{packets.Pingreq << 4, 0}
	disconnectPacket = []byte{packets.Disconnect << 4, 0}
)

// readPacket reads one packet of those that a broker sends to a client that only publishes.
func readPacket(in *bufio.Reader, version byte) (p packets.Packet, err error) {
	p.ProtocolVersion = version
	first, err := in.ReadByte()
	if err != nil {
		return p, err
	}
	if err := p.FixedHeader.Decode(first); err != nil {
		return p, fmt.Errorf("this is no MQTT: %w", err)
	}
	length, _, err := packets.DecodeLength(in)
	if err != nil {
		return p, unfinished(err)
	}
	if length > maxPacket {
		return p, fmt.Errorf("the broker sends a packet of %d bytes", length)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(in, body); err != nil {
		return p, unfinished(err)
	}
	p.FixedHeader.Remaining = length
	return p, decode(&p, body)
}

func decode(p *packets.Packet, body []byte) error {
	switch p.FixedHeader.Type {
	case packets.Connack:
		return p.ConnackDecode(body)
	case packets.Puback:
		return p.PubackDecode(body)
	case packets.Disconnect:
		return p.DisconnectDecode(body)
	case packets.Pingresp:
		return p.PingrespDecode(body)
	}
	return fmt.Errorf("the broker sends a packet of type %d, which nobody has asked for", p.FixedHeader.Type)
}

func unfinished(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// reasons are the words of MQTT 5 for what a broker refuses.
var reasons = func() map[byte]string {
	words := make(map[byte]string)
	for _, c := range []packets.Code{
		packets.ErrUnspecifiedError, packets.ErrMalformedPacket, packets.ErrProtocolViolation,
		packets.ErrImplementationSpecificError, packets.ErrUnsupportedProtocolVersion,
		packets.ErrClientIdentifierNotValid, packets.ErrBadUsernameOrPassword, packets.ErrNotAuthorized,
		packets.ErrServerUnavailable, packets.ErrServerBusy, packets.ErrBanned, packets.ErrServerShuttingDown,
		packets.ErrBadAuthenticationMethod, packets.ErrKeepAliveTimeout, packets.ErrSessionTakenOver,
		packets.ErrTopicNameInvalid, packets.ErrReceiveMaximum, packets.ErrPacketTooLarge,
		packets.ErrMessageRateTooHigh, packets.ErrQuotaExceeded, packets.ErrAdministrativeAction,
		packets.ErrPayloadFormatInvalid, packets.ErrRetainNotSupported, packets.ErrQosNotSupported,
		packets.ErrUseAnotherServer, packets.ErrServerMoved, packets.ErrConnectionRateExceeded,
	} {
		words[c.Code] = c.Reason
	}
	return words
}()

// reasons3 are those of MQTT 3.1.1, which has them for connections only.
var reasons3 = map[byte]string{
	1: "unsupported protocol version", 2: "client identifier not valid", 3: "server unavailable",
	4: "bad username or password", 5: "not authorized",
}

// maxReason is how much of a broker's own words is shown.
const maxReason = 200

// reason is a packet's, in words.
func reason(p *packets.Packet) string {
	words := reasons
	if p.ProtocolVersion < 5 {
		words = reasons3
	}
	text := fmt.Sprintf("code %d", p.ReasonCode)
	if word, known := words[p.ReasonCode]; known {
		text = word
	}
	if said := p.Properties.ReasonString; said != "" {
		text += ": " + terminal.Line(said[:min(len(said), maxReason)])
	}
	return text
}
