package paste

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/explain"
)

// maxFlows and maxSegments bound what a file of many connections takes.
const (
	maxFlows    = 10_000
	maxSegments = 1_000_000
)

// flow is one direction of a connection, or between two ends of UDP.
type flow struct {
	from, to netip.AddrPort
	udp      bool
}

func (f flow) back() flow { return flow{f.to, f.from, f.udp} }

func (f flow) String() string { return fmt.Sprintf("%s to %s", f.from, f.to) }

// segment is a part of a stream, or a datagram.
type segment struct {
	at      uint32 // its sequence number
	payload []byte
	cut     int // bytes that were not captured
}

// stream is what was captured of a flow.
type stream struct {
	segments []segment
	begun    bool   // its first byte is known
	first    uint32 // its number
	opened   bool   // this end has opened the connection
}

// assembler makes streams of the packets of a sniffer.
type assembler struct {
	streams map[flow]*stream
	order   []flow
	held    int // segments
	left    int // packets that are none of TCP and UDP, or too many
}

// add takes a packet that begins with its IP header. It reports whether it is one. cut is how many bytes of it were not
// captured.
func (a *assembler) add(packet []byte, cut int) bool {
	source, target, protocol, body, missing, ok := internet(packet)
	if !ok {
		return false
	}
	cut = max(cut, missing)
	switch {
	case protocol == 6 && len(body) >= 20 && int(body[12]>>4)*4 >= 20 && int(body[12]>>4)*4 <= len(body):
		f := flow{from: netip.AddrPortFrom(source, binary.BigEndian.Uint16(body)),
			to: netip.AddrPortFrom(target, binary.BigEndian.Uint16(body[2:]))}
		a.tcp(f, body, cut)
	case protocol == 17 && len(body) >= 8:
		f := flow{netip.AddrPortFrom(source, binary.BigEndian.Uint16(body)),
			netip.AddrPortFrom(target, binary.BigEndian.Uint16(body[2:])), true}
		if s := a.stream(f); s != nil {
			a.keep(s, segment{payload: body[8:], cut: cut})
		}
	default:
		a.left++
	}
	return true
}

func (a *assembler) tcp(f flow, body []byte, cut int) {
	const syn, ack = 2, 16
	s := a.stream(f)
	if s == nil {
		return
	}
	at := binary.BigEndian.Uint32(body[4:])
	if body[13]&syn != 0 {
		s.begun, s.first, s.opened = true, at+1, body[13]&ack == 0
		at++
	}
	if payload := body[int(body[12]>>4)*4:]; len(payload) > 0 || cut > 0 {
		a.keep(s, segment{at, payload, cut})
	}
}

// stream is that of the flow, nil if there are too many.
func (a *assembler) stream(f flow) *stream {
	s := a.streams[f]
	if s != nil {
		return s
	}
	if len(a.order) == maxFlows {
		a.left++
		return nil
	}
	if a.streams == nil {
		a.streams = map[flow]*stream{}
	}
	s = &stream{}
	a.streams[f], a.order = s, append(a.order, f)
	return s
}

func (a *assembler) keep(s *stream, g segment) {
	if a.held == maxSegments {
		a.left++
		return
	}
	a.held++
	s.segments = append(s.segments, g)
}

// pieces are the datagrams, and the streams of devices without gaps. What the server sent in a connection is left out,
// for it is not told from whose answer it is.
func (a *assembler) pieces() (all []Piece) {
	for _, f := range a.order {
		s := a.streams[f]
		switch {
		case f.udp:
			for _, g := range s.segments {
				all = append(all, Piece{Bytes: g.payload, Transport: explain.UDP, Took: "a datagram from " + f.String(),
					Hint: cutHint(g.cut), sure: true})
			}
		case len(s.segments) > 0 && !a.fromServer(f):
			all = append(all, s.pieces(f, a.streams[f.back()])...)
		}
	}
	return all
}

// fromServer reports whether the flow is what the server sent: the other end has opened the connection, or makes sense
// as a device where this one does not, or has the higher port.
func (a *assembler) fromServer(f flow) bool {
	this, other := a.streams[f], a.streams[f.back()]
	switch {
	case this.opened:
		return false
	case other == nil:
		return false
	case other.opened:
		return true
	}
	if here, there := this.sense(), other.sense(); here != there {
		return here < there
	}
	return f.from.Port() < f.to.Port()
}

func (s *stream) sense() int {
	parts, _ := s.parts()
	if len(parts) == 0 {
		return none
	}
	return sense(parts[0], explain.TCP)
}

// parts are the bytes in their order, apart where some are missing, and how many.
func (s *stream) parts() (parts [][]byte, missing []int) {
	if len(s.segments) == 0 {
		return nil, nil
	}
	first := s.first
	if !s.begun {
		first = s.segments[0].at
		for _, g := range s.segments {
			if int32(g.at-first) < 0 {
				first = g.at
			}
		}
	}
	ordered := slices.Clone(s.segments)
	slices.SortStableFunc(ordered, func(a, b segment) int {
		return cmp.Compare(int32(a.at-first), int32(b.at-first))
	})
	var part []byte
	next := 0
	for _, g := range ordered {
		at := int(int32(g.at - first))
		if at > next {
			parts, missing, part = append(parts, part), append(missing, at-next), nil
			next = at
		}
		if behind := next - at; behind < len(g.payload) {
			part = append(part, g.payload[behind:]...)
			next += len(g.payload) - behind
		}
	}
	return append(parts, part), append(missing, 0)
}

func (s *stream) pieces(f flow, other *stream) (all []Piece) {
	parts, missing := s.parts()
	answers := 0
	if other != nil {
		for _, g := range other.segments {
			answers += len(g.payload)
		}
	}
	for i, part := range parts {
		if len(part) == 0 {
			continue
		}
		p := Piece{Bytes: part, Transport: explain.TCP, sure: true,
			Took: fmt.Sprintf("a TCP stream from %s; %d bytes of answers are left out", f, answers)}
		if missing[i] > 0 {
			p.Hint = fmt.Sprintf("behind it %d bytes are not in the capture", missing[i])
		}
		all = append(all, p)
	}
	return all
}

func cutHint(cut int) string {
	if cut == 0 {
		return ""
	}
	return fmt.Sprintf("%d bytes of it were not captured: tcpdump -s 0 takes all", cut)
}
