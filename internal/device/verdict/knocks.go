package verdict

import (
	"net/netip"
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// Knocks are the strangers by what a device is found by.
type Knocks struct {
	byIMEI     map[string]*stranger.Stranger // who knocked last
	byHost     map[netip.Addr]*stranger.Stranger
	candidates []*stranger.Stranger // who may be a device that was never seen, the last one first
}

// NewKnocks sorts the strangers, who knocked last first.
func NewKnocks(all []stranger.Stranger, now time.Time) *Knocks {
	k := &Knocks{byIMEI: make(map[string]*stranger.Stranger), byHost: make(map[netip.Addr]*stranger.Stranger)}
	for i := range all {
		s := &all[i]
		if s.IMEI != "" {
			if k.byIMEI[s.IMEI] == nil {
				k.byIMEI[s.IMEI] = s
			}
			continue
		}
		if host := hostOf(s.Address); host.IsValid() && k.byHost[host] == nil && tellsByAddress(s) {
			k.byHost[host] = s
		}
		if now.Sub(s.At) < recently && isCandidate(s) {
			k.candidates = append(k.candidates, s)
		}
	}
	return k
}

// Named are the IMEIs that strangers' bytes hold.
func (k *Knocks) Named() []string {
	all := make([]string, 0, len(k.byIMEI))
	for imei := range k.byIMEI {
		all = append(all, imei)
	}
	slices.Sort(all)
	return all
}

// devices are the causes for which a device knocks, most likely.
var devices = []stranger.Cause{
	stranger.CausePlainOnTLS, stranger.CauseTLSOnPlain, stranger.CauseTLS, stranger.CauseTLSUnused,
	stranger.CauseOnHTTP, stranger.CauseUDPOnTCP,
	stranger.CauseTCPOnUDP, stranger.CauseProxyUntrusted, stranger.CauseHexText, stranger.CauseFrameFirst,
	stranger.CauseCutOff, stranger.CauseLimit, stranger.CauseCrowdedOut, stranger.CauseRateLimited,
}

// tellsByAddress reports whether the stranger is a device, most likely, and not a scanner behind the same address.
func tellsByAddress(s *stranger.Stranger) bool {
	trackers := slices.Contains([]string{"MQTT", "EGTS", "JSON", "DualCam", "AT2000"}, s.Protocol)
	return trackers || slices.Contains(devices, s.Cause)
}

// isCandidate reports whether the stranger may be a device whose bytes do not say which.
func isCandidate(s *stranger.Stranger) bool {
	return tellsByAddress(s) || s.Cause == stranger.CauseSilent || s.Cause == stranger.CauseProxyMissing ||
		s.Cause == stranger.CauseMalformedLogin || s.Cause == stranger.CauseForeign
}

// hostOf is who has an address with a port.
func hostOf(address string) netip.Addr {
	a, _ := netip.ParseAddrPort(address)
	if !a.IsValid() {
		return netip.Addr{}
	}
	return limit.Network(a.Addr())
}
