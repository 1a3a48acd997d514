package teltonika

import "encoding/binary"

// Codec 16 (vendor's page, "Codec 16"), one record:
//
//	 0            24      26           27      28
//	+------------+-------+------------+-------+----------------------+---------+---------+---------+
//	| fixed part | event | generation | total | n1 n1×(id, value 1)  | n2 ...2 | n4 ...4 | n8 ...8 |
//	+------------+-------+------------+-------+----------------------+---------+---------+---------+
//
// Event id and ids are two bytes, total and counts one. The generation type says what caused the record:
// 0 on exit, 1 on entrance, 2 on both, 3 reserved, 4 hysteresis, 5 on change, 6 eventual, 7 periodical. Others are kept.
const headSize16 = fixedSize + 4

func decode16(data []byte, p int, r *Record, els []Element) (int, []Element, *Error) {
	if len(data)-p < headSize16 {
		return 0, nil, overrunHead(data, p,
			headField{"event id", 2}, headField{"generation type", 1}, headField{"total elements", 1})
	}
	b := data[p : p+headSize16]
	decodeFixed(b, r)
	r.EventID = binary.BigEndian.Uint16(b[24:])
	r.Generation = b[26]
	r.Total = uint16(b[27])
	p += headSize16
	var err *Error
	for g := Group1; g <= Group8; g++ {
		if p >= len(data) {
			return 0, nil, overrun(data, p, groupName(g)+" element count", 1)
		}
		if p, els, err = wideGroup(data, p+1, int(data[p]), g, els); err != nil {
			return 0, nil, err
		}
	}
	return p, els, nil
}

func appendRecord16(dst []byte, r *Record) []byte {
	dst = appendFixed(dst, r)
	dst = binary.BigEndian.AppendUint16(dst, r.EventID)
	dst = append(dst, r.Generation, byte(len(r.Elements)))
	return appendNarrowCounted(dst, 2, r, Group8)
}
