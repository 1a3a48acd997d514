package tap

import (
	"net/netip"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
)

// Knock offers what a stranger has sent, at any door.
func (h *Hub) Knock(s stranger.Stranger) {
	if !h.Watched() {
		return
	}
	p := Packet{Time: s.At, IMEI: s.IMEI, Transport: string(s.Door), Kind: Login, Outcome: Malformed,
		Reason: string(s.Cause), Error: s.Text, Stranger: true, Bytes: s.First, Size: len(s.First)}
	p.Address, _ = netip.ParseAddrPort(s.Address) // what has none is shown without
	switch s.Cause {
	case stranger.CauseSilent, stranger.CauseCutOff, stranger.CauseTLSUnused:
		p.Outcome = CutOff
	case stranger.CauseLimit, stranger.CauseCrowdedOut, stranger.CauseRateLimited:
		p.Outcome = TurnedAway
	}
	if s.Door == stranger.DoorUDP {
		p.Kind = Datagram
	}
	h.Offer(&p)
}
