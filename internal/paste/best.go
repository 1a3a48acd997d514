package paste

import (
	"encoding/binary"
	"fmt"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/explain"
)

// How much sense bytes make.
const (
	none    = iota // nothing of a device
	begins         // as a packet does
	some           // the first packet is good
	allGood        // all of it is
)

// maxSense is how much of the bytes is looked at to find that out.
const maxSense = 1 << 20

// sense says how much sense bytes make.
func sense(b []byte, t explain.Transport) (sense int) {
	if len(b) == 0 {
		return none
	}
	if t == "" {
		t = explain.Auto
	}
	sense, first := begins, true
	for p := range explain.Packets(b[:min(len(b), maxSense)], t) {
		switch {
		case p.OK() && p.Kind == explain.KindKeepAlive: // any FF is one
		case p.OK():
			sense = allGood
		case !first:
			return some
		case p.Kind == explain.KindUnknown:
			return none
		default:
			return begins
		}
		first = false
	}
	return sense
}

// minGuess is how many bytes a guess has at least whose packet is not good: any few digits begin some packet.
const minGuess = 12

// best is the piece that makes most sense, the first one of those. One that makes none may be a record or a data field
// without what stands around it.
func best(all []Piece) (found Piece) {
	most := -1
	for _, p := range all {
		s := sense(p.Bytes, p.Transport)
		if !p.sure && s < some && len(p.Bytes) < minGuess {
			continue
		}
		if s > most {
			found, most = p, s
		}
		if s == allGood || p.sure && p.Took != "" && most < some {
			found, most = p, s
			break
		}
	}
	if most < some {
		for _, p := range all {
			bare := append(recordOf(p.Bytes, "", p.Took), bodyOf(p.Bytes, p.Took)...)
			if len(bare) > 0 {
				bare[0].Hint = p.Hint
				return bare[0]
			}
		}
	}
	if most == none {
		if found = firstSure(all); found.Bytes == nil {
			return Piece{}
		}
	}
	if most < allGood && found.Hint == "" {
		found.Hint = lengthHint(found.Bytes)
	}
	return found
}

// firstSure is the first reading that is no guess.
func firstSure(all []Piece) Piece {
	for _, p := range all {
		if p.sure {
			return p
		}
	}
	return Piece{}
}

// lengthHint says if a length counts hex digits in place of bytes.
func lengthHint(b []byte) string {
	switch {
	case len(b) > 12 && binary.BigEndian.Uint32(b) == 0 && uint64(binary.BigEndian.Uint32(b[4:])) == 2*uint64(len(b)-12):
		n := len(b) - 12
		return fmt.Sprintf("the length %d is that of the data field in hex digits; in bytes it is %d", 2*n, n)
	case len(b) > 3 && b[0] == 0 && int(b[1]) == 2*(len(b)-2):
		return fmt.Sprintf("the length %d is that of the IMEI in hex digits; in bytes it is %d", b[1], len(b)-2)
	}
	return ""
}
