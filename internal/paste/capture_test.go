package paste

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/explain"
)

var (
	device  = netip.MustParseAddrPort("198.51.100.7:40312")
	service = netip.MustParseAddrPort("192.0.2.1:5027")
	device6 = netip.MustParseAddrPort("[2001:db8::7]:40312")
	server6 = netip.MustParseAddrPort("[2001:db8::1]:5027")
)

const (
	flagSYN, flagACK = 2, 16
	firstNumber      = 0xfffffff0 // so that numbers begin anew within the stream
)

// tcp is a packet with its IP header; at counts from the stream's first byte.
func tcp(from, to netip.AddrPort, at int, flags byte, payload string) []byte {
	segment := make([]byte, 20, 20+len(payload))
	binary.BigEndian.PutUint16(segment, from.Port())
	binary.BigEndian.PutUint16(segment[2:], to.Port())
	number := uint32(firstNumber) + uint32(at)
	if flags&flagSYN != 0 {
		number--
	}
	binary.BigEndian.PutUint32(segment[4:], number)
	segment[12], segment[13] = 5<<4, flags
	return ip(from.Addr(), to.Addr(), 6, append(segment, payload...))
}

func udp(from, to netip.AddrPort, payload string) []byte {
	b := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(b, from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	return ip(from.Addr(), to.Addr(), 17, append(b, payload...))
}

func ip(from, to netip.Addr, protocol byte, body []byte) []byte {
	if from.Is6() {
		header := make([]byte, 8, 40)
		header[0], header[6] = 6<<4, protocol
		binary.BigEndian.PutUint16(header[4:], uint16(len(body)))
		return append(append(append(header, from.AsSlice()...), to.AsSlice()...), body...)
	}
	header := make([]byte, 12, 20)
	header[0], header[9] = 4<<4|5, protocol
	binary.BigEndian.PutUint16(header[2:], uint16(20+len(body)))
	return append(append(append(header, from.AsSlice()...), to.AsSlice()...), body...)
}

// linked puts the header of a link before a packet.
func linked(link uint32, packet []byte) []byte {
	kind := []byte{8, 0}
	if packet[0]>>4 == 6 {
		kind = []byte{0x86, 0xdd}
	}
	switch link {
	case linkEthernet: // in a VLAN
		return append(append(append(make([]byte, 12), 0x81, 0, 0, 7), kind...), packet...)
	case linkCooked:
		return append(append(make([]byte, 14), kind...), packet...)
	case linkCooked2:
		return append(append(kind, make([]byte, 18)...), packet...)
	case linkNull:
		return append(make([]byte, 4), packet...)
	}
	return packet
}

// pcapOf is a file; the last cut bytes of each packet are not captured.
func pcapOf(order binary.AppendByteOrder, magic, link uint32, cut int, packets ...[]byte) []byte {
	b := order.AppendUint32(nil, magic)
	b = order.AppendUint32(append(b, make([]byte, 12)...), 65535)
	b = order.AppendUint32(b, link)
	for _, p := range packets {
		p = linked(link, p)
		b = order.AppendUint32(append(b, make([]byte, 8)...), uint32(len(p)-cut))
		b = order.AppendUint32(b, uint32(len(p)))
		b = append(b, p[:len(p)-cut]...)
	}
	return b
}

func pcapngOf(order binary.AppendByteOrder, link uint32, packets ...[]byte) (b []byte) {
	block := func(kind uint32, body []byte) {
		body = append(body, make([]byte, (4-len(body)%4)%4)...)
		b = order.AppendUint32(b, kind)
		b = order.AppendUint32(b, uint32(len(body)+12))
		b = order.AppendUint32(append(b, body...), uint32(len(body)+12))
	}
	block(blockSection, append(order.AppendUint32(nil, sectionOrder), make([]byte, 12)...))
	block(blockInterface, append(order.AppendUint16(nil, uint16(link)), make([]byte, 6)...))
	block(5, make([]byte, 12)) // statistics
	for i, p := range packets {
		p = linked(link, p)
		if i == 0 {
			block(blockPacketSimple, append(order.AppendUint32(nil, uint32(len(p))), p...))
			continue
		}
		body := order.AppendUint32(make([]byte, 12), uint32(len(p)))
		block(blockPacket, append(order.AppendUint32(body, uint32(len(p))), p...))
	}
	return b
}

// conversation is a login and a frame, in segments that come twice, in the wrong order and one over the other.
func conversation(t *testing.T, from, to netip.AddrPort) [][]byte {
	text := string(bytesOf(t, login+frame))
	n := len(login) / 2
	return [][]byte{
		tcp(from, to, 0, flagSYN, ""), tcp(to, from, 0, flagSYN|flagACK, ""),
		tcp(from, to, 0, flagACK, text[:n]), tcp(to, from, 0, flagACK, "\x01"),
		tcp(from, to, n+20, flagACK, text[n+20:]), tcp(from, to, n, flagACK, text[n:n+25]),
		tcp(from, to, 0, flagACK, text[:n]),
		tcp(from, to, n+5, flagACK, text[n+5:n+10]), tcp(to, from, 1, flagACK, "\x00\x00\x00\x01"),
	}
}

func TestCaptures(t *testing.T) {
	v4, v6 := conversation(t, device, service), conversation(t, device6, server6)
	little, big := binary.LittleEndian, binary.BigEndian
	for name, file := range map[string][]byte{
		"pcap":         pcapOf(little, magicMicro, linkEthernet, 0, v4...),
		"turned round": pcapOf(big, magicMicro, linkEthernet, 0, v4...),
		"nanoseconds":  pcapOf(little, magicNano, linkRaw, 0, v4...),
		"IPv6":         pcapOf(little, magicMicro, linkEthernet, 0, v6...),
		"cooked":       pcapOf(little, magicMicro, linkCooked, 0, v4...),
		"cooked 2":     pcapOf(little, magicMicro, linkCooked2, 0, v6...),
		"loopback":     pcapOf(little, magicMicro, linkNull, 0, v4...), "pcapng": pcapngOf(little, linkEthernet, v4...),
		"pcapng, turned round":    pcapngOf(big, linkRaw, v6...),
		"no SYN":                  pcapOf(little, magicMicro, linkRaw, 0, v4[2:]...),
		"a server on a high port": pcapOf(little, magicMicro, linkRaw, 0, conversation(t, service, device)...),
	} {
		if !IsCapture(file[:MagicSize]) || !MayBeCapture(file[0]) {
			t.Errorf("%s: no capture", name)
		}
		found, err := Capture(file)
		if err != nil || len(found) != 1 || hex.EncodeToString(found[0].Bytes) != login+frame ||
			found[0].Transport != explain.TCP || !strings.Contains(found[0].Took, "; 5 bytes of answers are left out") ||
			!strings.HasPrefix(found[0].Took, "pcap") || found[0].Hint != "" {
			t.Errorf("%s: %+v, %v", name, found, err)
		}
	}
}

func TestDatagramsOfACapture(t *testing.T) {
	packets := [][]byte{udp(device, service, "one"), udp(service, device, "answer"), udp(device, service, "two")}
	found, err := Capture(pcapOf(binary.LittleEndian, magicMicro, linkEthernet, 0, packets...))
	if err != nil || len(found) != 3 || string(found[0].Bytes) != "one" || string(found[1].Bytes) != "two" ||
		string(found[2].Bytes) != "answer" || found[0].Transport != explain.UDP {
		t.Errorf("%+v, %v", found, err)
	}
	found, err = Capture(pcapOf(binary.LittleEndian, magicMicro, linkRaw, 2, packets[0]))
	if err != nil || len(found) != 1 || string(found[0].Bytes) != "o" || !strings.Contains(found[0].Hint, "2 bytes") {
		t.Errorf("cut: %+v, %v", found, err)
	}
}

// TestGapsOfACapture: what is missing is said, and what is behind it stands apart.
func TestGapsOfACapture(t *testing.T) {
	found, err := Capture(pcapOf(binary.LittleEndian, magicMicro, linkRaw, 0, tcp(device, service, 0, flagSYN, ""),
		tcp(device, service, 0, flagACK, "abc"), tcp(device, service, 10, flagACK, "xyz"),
		ip(device.Addr(), service.Addr(), 1, nil)))
	if err != nil || len(found) != 2 || string(found[0].Bytes) != "abc" || string(found[1].Bytes) != "xyz" ||
		!strings.Contains(found[0].Hint, "7 bytes are not in the capture") || !strings.Contains(found[0].Hint, "1 packets") {
		t.Errorf("%+v, %v", found, err)
	}
}

// TestBrokenCaptures: every prefix is read as far as it goes, and says where it ends.
func TestBrokenCaptures(t *testing.T) {
	packets := conversation(t, device, service)
	for _, file := range [][]byte{pcapOf(binary.LittleEndian, magicMicro, linkEthernet, 0, packets...),
		pcapngOf(binary.LittleEndian, linkEthernet, packets...)} {
		whole := 0
		for n := MagicSize; n < len(file); n++ {
			if _, err := Capture(file[:n]); err == nil {
				whole++
			} else if !errors.Is(err, ErrCapture) {
				t.Fatal(err)
			}
		}
		if whole > len(packets)+3 {
			t.Errorf("%d prefixes are whole", whole)
		}
	}
	if _, err := Capture(pcapOf(binary.LittleEndian, magicMicro, 147, 0, packets...)); !errors.Is(err, ErrCapture) {
		t.Errorf("a link that is not known: %v", err)
	}
}

// TestTCPDumpText: the packets have their headers of IP, with -XX of Ethernet too.
func TestTCPDumpText(t *testing.T) {
	const head = "11:00:00.123456 IP 198.51.100.7.40312 > 192.0.2.1.5027: Flags [P.], seq 1:18, ack 1, length 17\n"
	for _, link := range []uint32{linkRaw, linkEthernet} {
		var text strings.Builder
		text.WriteString("listening on eth0, link-type EN10MB (Ethernet), snapshot length 262144 bytes\n")
		for _, packet := range conversation(t, device, service) {
			text.WriteString(head + xxdOf(t, hex.EncodeToString(linked(link, packet)), "\t0x%04x:  "))
		}
		found := read(text.String())
		if len(found) != 1 || hex.EncodeToString(found[0].Bytes) != login+frame ||
			!strings.HasPrefix(found[0].Took, "packets of tcpdump: ") {
			t.Errorf("%+v\n%.300s", found, text.String())
		}
	}
}

func FuzzCapture(f *testing.F) {
	packets := [][]byte{tcp(device, service, 0, flagSYN, ""), tcp(device, service, 5, flagACK, "abc"),
		udp(device6, server6, "x")}
	for _, link := range []uint32{linkNull, linkEthernet, linkRaw, linkCooked, linkCooked2} {
		f.Add(pcapOf(binary.LittleEndian, magicMicro, link, 0, packets...))
		f.Add(pcapngOf(binary.BigEndian, link, packets...))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		found, err := Capture(file)
		total := 0
		for _, p := range found {
			total += len(p.Bytes)
		}
		if total > len(file) || err != nil && !errors.Is(err, ErrCapture) {
			t.Errorf("%d bytes of %d, %v", total, len(file), err)
		}
	})
}
