package tap

import (
	"net/netip"
	"slices"
)

// Filter says which packets a tap shows: those that meet all that is given.
type Filter struct {
	IMEI      string
	Network   netip.Prefix // of the address; not valid for any
	Transport string
	Outcomes  []Outcome // one of these
	Strangers bool      // only of connections on which nobody has logged in
}

// matches reports whether the packet is to be shown. One without an outcome may get any.
func (f *Filter) matches(p *Packet) bool {
	switch {
	case f.IMEI != "" && f.IMEI != p.IMEI,
		f.Transport != "" && f.Transport != p.Transport,
		f.Network.IsValid() && !f.Network.Contains(p.Address.Addr()),
		f.Strangers && !p.Stranger:
		return false
	}
	return len(f.Outcomes) == 0 || p.Outcome == "" || slices.Contains(f.Outcomes, p.Outcome)
}
