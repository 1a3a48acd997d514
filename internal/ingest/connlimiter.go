package ingest

import (
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// What one address may do: so many connections in a row may end without a login, and then one a second. An address that
// does more still gets in, but each of its connections has hurriedLogin to log in: behind the NAT of a carrier good
// devices share the address of a bad one. Beyond admitRate only one in oneOf gets in, so that its handshakes do not
// take the processors, and a good device gets in with some patience. A login gives loginCredit back.
var (
	unhurriedRate = limit.PerSecond(1, 200)
	admitRate     = limit.PerSecond(100, 2000)
)

const (
	oneOf        = 4
	loginCredit  = 50
	hurriedLogin = 5 * time.Second // a login takes the device a second or two on a bad link, a TLS handshake as long again
)

// addressCells is how many addresses are told apart; see limit.Table.
const addressCells = 1 << 14

// connLimiter limits connections by what their address has done before. It is asked once for a connection, and has no
// lock.
type connLimiter struct{ addresses *limit.Table[failures] }

// failures are an address's connections that have ended without a login.
type failures struct {
	unhurried, admitted limit.Bucket
	beyond              atomic.Uint32 // connections beyond admitRate
}

func newConnLimiter() *connLimiter { return &connLimiter{limit.NewTable[failures](addressCells)} }

// admission is how an address's next connection is received.
type admission int

const (
	admitted admission = iota
	admittedHurried
	refused
)

// admits says how to receive a connection from there.
func (l *connLimiter) admits(remote net.Addr, now time.Time) admission {
	address, ok := addressOf(remote)
	if !ok {
		return admitted
	}
	switch f := l.addresses.OfAddress(address); {
	case !f.admitted.Has(1, now, admitRate) && f.beyond.Add(1)%oneOf != 0:
		return refused
	case !f.unhurried.Has(1, now, unhurriedRate):
		return admittedHurried
	}
	return admitted
}

// note takes down that a connection of the address has logged in, or has ended without.
func (l *connLimiter) note(remote net.Addr, loggedIn bool, now time.Time) {
	address, ok := addressOf(remote)
	if !ok {
		return
	}
	f := l.addresses.OfAddress(address)
	if loggedIn {
		f.unhurried.Give(loginCredit, unhurriedRate)
		f.admitted.Give(loginCredit, admitRate)
		return
	}
	f.unhurried.Take(1, now, unhurriedRate)
	f.admitted.Take(1, now, admitRate)
}

// addressOf is what a connection's peer is held responsible by; ok is false for none, and for what is not TCP.
func addressOf(remote net.Addr) (network netip.Addr, ok bool) { return limit.AddressOf(remote) }
