package teltonika

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// The groups of IO elements stand in the order of their value sizes. Codec 8 has ids of one byte, Codec 16
// and Codec 8 Extended of two. Each group is read by a loop of its own width, with one bounds check for the
// whole group, because here is where decoding spends its time.

// narrowGroup reads a group with 1-byte ids, `n u8 | n × (id u8 | value)`, at offset p.
func narrowGroup(data []byte, p int, g Group, els []Element) (int, []Element, *Error) {
	if p >= len(data) {
		return 0, nil, overrun(data, p, groupName(g)+" element count", 1)
	}
	n, size := int(data[p]), groupSize[g]
	p++
	end := p + n*(1+size)
	if end > len(data) {
		return 0, nil, overrunElement(data, p, g, 1)
	}
	b, first := data[p:end], len(els)
	els = slices.Grow(els, n)[:first+n]
	out := els[first:]
	switch g {
	case Group1:
		for i := range out {
			out[i] = Element{ID: uint16(b[2*i]), Size: 1, Group: Group1, value: uint64(b[2*i+1])}
		}
	case Group2:
		for i := range out {
			e := b[3*i:][:3]
			out[i] = Element{ID: uint16(e[0]), Size: 2, Group: Group2, value: uint64(binary.BigEndian.Uint16(e[1:]))}
		}
	case Group4:
		for i := range out {
			e := b[5*i:][:5]
			out[i] = Element{ID: uint16(e[0]), Size: 4, Group: Group4, value: uint64(binary.BigEndian.Uint32(e[1:]))}
		}
	case Group8:
		for i := range out {
			e := b[9*i:][:9]
			out[i] = Element{ID: uint16(e[0]), Size: 8, Group: Group8, value: binary.BigEndian.Uint64(e[1:])}
		}
	}
	return end, els, nil
}

// wideGroup reads n elements with 2-byte ids, `n × (id u16 | value)`, at offset p behind the count.
func wideGroup(data []byte, p, n int, g Group, els []Element) (int, []Element, *Error) {
	end := p + n*(2+groupSize[g])
	if end > len(data) {
		return 0, nil, overrunElement(data, p, g, 2)
	}
	b, first := data[p:end], len(els)
	els = slices.Grow(els, n)[:first+n]
	out := els[first:]
	switch g {
	case Group1:
		for i := range out {
			e := b[3*i:][:3]
			out[i] = Element{ID: binary.BigEndian.Uint16(e), Size: 1, Group: Group1, value: uint64(e[2])}
		}
	case Group2:
		for i := range out {
			e := b[4*i:][:4]
			out[i] = Element{ID: binary.BigEndian.Uint16(e), Size: 2, Group: Group2, value: uint64(binary.BigEndian.Uint16(e[2:]))}
		}
	case Group4:
		for i := range out {
			e := b[6*i:][:6]
			out[i] = Element{ID: binary.BigEndian.Uint16(e), Size: 4, Group: Group4, value: uint64(binary.BigEndian.Uint32(e[2:]))}
		}
	case Group8:
		for i := range out {
			e := b[10*i:][:10]
			out[i] = Element{ID: binary.BigEndian.Uint16(e), Size: 8, Group: Group8, value: binary.BigEndian.Uint64(e[2:])}
		}
	}
	return end, els, nil
}

// appendElement appends one element with an id of idSize bytes.
func appendElement(dst []byte, idSize int, r *Record, e Element) []byte {
	if idSize == 1 {
		dst = append(dst, byte(e.ID))
	} else {
		dst = binary.BigEndian.AppendUint16(dst, e.ID)
	}
	switch e.Group {
	case Group1:
		return append(dst, byte(e.value))
	case Group2:
		return binary.BigEndian.AppendUint16(dst, uint16(e.value))
	case Group4:
		return binary.BigEndian.AppendUint32(dst, uint32(e.value))
	case Group8:
		return binary.BigEndian.AppendUint64(dst, e.value)
	case GroupX:
		dst = binary.BigEndian.AppendUint16(dst, e.Size)
	}
	return append(dst, r.Bytes(e)...)
}

// count is the number of elements that a record has in a group.
func (r *Record) count(g Group) int {
	n := 0
	for _, e := range r.Elements {
		if e.Group == g {
			n++
		}
	}
	return n
}

// overrunElement is the error of a group that begins at p and does not fit: it names its first element
// that runs past the data.
func overrunElement(data []byte, p int, g Group, idSize int) *Error {
	size := groupSize[g]
	whole := (len(data) - p) / (idSize + size)
	p += whole * (idSize + size)
	name := fmt.Sprintf("%s element %d", groupName(g), whole+1)
	if p+idSize > len(data) {
		return overrun(data, p, name+" id", idSize)
	}
	return overrun(data, p+idSize, name+" value", size)
}

func groupName(g Group) string {
	if g == GroupX {
		return "variable-length"
	}
	return fmt.Sprintf("%d-byte", groupSize[g])
}
