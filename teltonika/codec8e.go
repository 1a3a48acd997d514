package teltonika

import (
	"encoding/binary"
	"fmt"
)

// Codec 8 Extended (vendor's page, "Codec 8 Extended"), one record:
//
//	 0            24      26      28
//	+------------+-------+-------+----------------------+---------+---------+---------+---------------------------+
//	| fixed part | event | total | n1 n1×(id, value 1)  | n2 ...2 | n4 ...4 | n8 ...8 | nx nx×(id, length, value) |
//	+------------+-------+-------+----------------------+---------+---------+---------+---------------------------+
//
// Event id, total, counts, ids and lengths are two bytes each. Real devices send many values of length 0.
const headSize8E = fixedSize + 4

func decode8E(data []byte, p int, r *Record, els []Element) (int, []Element, *Error) {
	if len(data)-p < headSize8E {
		return 0, nil, overrunHead(data, p, headField{"event id", 2}, headField{"total elements", 2})
	}
	start := p
	b := data[p : p+headSize8E]
	decodeFixed(b, r)
	r.EventID = binary.BigEndian.Uint16(b[24:])
	r.Total = binary.BigEndian.Uint16(b[26:])
	p += headSize8E
	var err *Error
	for g := Group1; g <= Group8; g++ {
		if len(data)-p < 2 {
			return 0, nil, overrun(data, p, groupName(g)+" element count", 2)
		}
		n := int(binary.BigEndian.Uint16(data[p:]))
		if p, els, err = wideGroup(data, p+2, n, g, els); err != nil {
			return 0, nil, err
		}
	}
	return variableGroup(data, p, start, els)
}

// variableGroup reads the last group, `nx u16 | nx × (id u16 | length u16 | value)`, of the record that
// begins at start.
func variableGroup(data []byte, p, start int, els []Element) (int, []Element, *Error) {
	if len(data)-p < 2 {
		return 0, nil, overrun(data, p, "variable-length element count", 2)
	}
	n := int(binary.BigEndian.Uint16(data[p:]))
	p += 2
	for i := range n {
		if len(data)-p < 4 {
			return 0, nil, overrun(data, p, fmt.Sprintf("variable-length element %d id and length", i+1), 4)
		}
		id := binary.BigEndian.Uint16(data[p:])
		size := binary.BigEndian.Uint16(data[p+2:])
		p += 4
		if len(data)-p < int(size) {
			return 0, nil, overrun(data, p, fmt.Sprintf("variable-length element %d value", i+1), int(size))
		}
		els = append(els, Element{ID: id, Size: size, Group: GroupX, value: uint64(p - start)})
		p += int(size)
	}
	return p, els, nil
}

func appendRecord8E(dst []byte, r *Record) []byte {
	dst = appendFixed(dst, r)
	dst = binary.BigEndian.AppendUint16(dst, r.EventID)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.Elements)))
	for _, g := range [...]Group{Group1, Group2, Group4, Group8, GroupX} {
		dst = binary.BigEndian.AppendUint16(dst, uint16(r.count(g)))
		for _, e := range r.Elements {
			if e.Group == g {
				dst = appendElement(dst, 2, r, e)
			}
		}
	}
	return dst
}
