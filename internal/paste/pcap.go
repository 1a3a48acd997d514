package paste

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrCapture is a file of a sniffer that cannot be read to its end. What was read before counts.
var ErrCapture = errors.New("the capture file is broken")

// MagicSize is how many bytes tell a file of a packet sniffer.
const MagicSize = 4

// IsCapture reports whether a file begins as those of packet sniffers do. It takes MagicSize bytes.
func IsCapture(b []byte) bool { return orderOf(b) != nil || isNextGeneration(b) }

// MayBeCapture is what the first byte says of that. Text hardly ever begins so.
func MayBeCapture(first byte) bool {
	return first == 0xd4 || first == 0xa1 || first == 0x4d || first == 0x0a
}

const (
	magicMicro, magicNano = 0xa1b2c3d4, 0xa1b23c4d
	blockSection          = 0x0a0d0d0a
	blockInterface        = 1
	blockPacketSimple     = 3
	blockPacket           = 6
	sectionOrder          = 0x1a2b3c4d
)

// Capture reads a file in the format of pcap or pcapng: its datagrams, and its TCP streams put together.
func Capture(b []byte) ([]Piece, error) {
	var a assembler
	read, format := readPcap, "pcap"
	if isNextGeneration(b) {
		read, format = readPcapNG, "pcapng"
	}
	err := read(b, &a)
	all := a.pieces()
	for i := range all {
		all[i].Took = format + ": " + all[i].Took
	}
	if a.left > 0 && len(all) > 0 {
		all[0].Hint = fmt.Sprintf("%d packets of the capture are neither TCP nor UDP, or too many. %s", a.left, all[0].Hint)
	}
	return all, err
}

// orderOf is the byte order of a pcap file, nil if it is none.
func orderOf(b []byte) binary.ByteOrder {
	if len(b) < MagicSize {
		return nil
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if magic := order.Uint32(b); magic == magicMicro || magic == magicNano {
			return order
		}
	}
	return nil
}

func readPcap(b []byte, a *assembler) error {
	order := orderOf(b)
	if order == nil || len(b) < 24 {
		return fmt.Errorf("%w: no header", ErrCapture)
	}
	link := order.Uint32(b[20:]) & 0xffff
	if err := knownLink(link); err != nil {
		return err
	}
	for at := 24; at < len(b); {
		if len(b)-at < 16 {
			return fmt.Errorf("%w: it ends within a packet's header, at byte %d", ErrCapture, at)
		}
		captured, size := order.Uint32(b[at+8:]), order.Uint32(b[at+12:])
		at += 16
		if uint64(captured) > uint64(len(b)-at) {
			return fmt.Errorf("%w: it ends within a packet, at byte %d", ErrCapture, at)
		}
		a.take(b[at:at+int(captured)], link, captured, size)
		at += int(captured)
	}
	return nil
}

// take takes a packet with the header of its link.
func (a *assembler) take(b []byte, link, captured, size uint32) {
	if !a.add(unlinked(b, link), int(max(size, captured)-captured)) {
		a.left++
	}
}

func knownLink(link uint32) error {
	switch link {
	case linkNull, linkEthernet, linkRawBSD, linkRawOpenBSD, linkRaw, linkLoop, linkCooked, linkCooked2:
		return nil
	}
	return fmt.Errorf("%w: link type %d is not known", ErrCapture, link)
}

func isNextGeneration(b []byte) bool {
	return len(b) >= MagicSize && binary.BigEndian.Uint32(b) == blockSection
}

// readPcapNG reads blocks: type, length, body, length.
func readPcapNG(b []byte, a *assembler) error {
	var order binary.ByteOrder = binary.LittleEndian
	var links []uint32 // of the section's interfaces
	for at := 0; at < len(b); {
		rest := b[at:]
		if len(rest) < 12 {
			return fmt.Errorf("%w: it ends within a block, at byte %d", ErrCapture, at)
		}
		if binary.BigEndian.Uint32(rest) == blockSection {
			if order = binary.LittleEndian; binary.BigEndian.Uint32(rest[8:]) == sectionOrder {
				order = binary.BigEndian
			}
			links = nil
		}
		size := order.Uint32(rest[4:])
		if size < 12 || size%4 != 0 || uint64(size) > uint64(len(rest)) {
			return fmt.Errorf("%w: a block of %d bytes at byte %d", ErrCapture, size, at)
		}
		body := rest[8 : size-4]
		switch order.Uint32(rest) {
		case blockInterface:
			if len(body) < 8 {
				return fmt.Errorf("%w: an interface without a link at byte %d", ErrCapture, at)
			}
			links = append(links, uint32(order.Uint16(body)))
		case blockPacket, blockPacketSimple:
			if err := a.block(order, order.Uint32(rest), body, links); err != nil {
				return fmt.Errorf("%w, at byte %d", err, at)
			}
		}
		at += int(size)
	}
	return nil
}

// block takes the packet of a block.
func (a *assembler) block(order binary.ByteOrder, kind uint32, body []byte, links []uint32) error {
	var on, captured, size uint32
	var packet []byte
	switch {
	case kind == blockPacketSimple && len(body) >= 4:
		size, packet = order.Uint32(body), body[4:]
		captured = min(size, uint32(len(packet)))
	case kind == blockPacket && len(body) >= 20:
		on, captured, size, packet = order.Uint32(body), order.Uint32(body[12:]), order.Uint32(body[16:]), body[20:]
	}
	if packet == nil || uint64(captured) > uint64(len(packet)) || uint64(on) >= uint64(len(links)) {
		return fmt.Errorf("%w: a packet's block", ErrCapture)
	}
	if err := knownLink(links[on]); err != nil {
		return err
	}
	a.take(packet[:captured], links[on], captured, size)
	return nil
}
