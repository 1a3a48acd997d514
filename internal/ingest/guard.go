package ingest

import (
	"net"
	"net/netip"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
)

// What one address may do to the front door: so many connections in a row may end without a login, and then one a
// second. An address that does more is still heard, but each of its connections has to log in briefly: behind the
// NAT of a carrier good devices share the address of a bad one. Beyond the second rate it is not heard at all, so that
// its handshakes do not take the processors. A login gives loginCredit back.
var (
	patientRate = limit.PerSecond(1, 200)
	heardRate   = limit.PerSecond(100, 2000)
)

const (
	loginCredit   = 50
	brieflyWaited = 5 * time.Second // a login takes the device a second or two on a bad link, a TLS handshake as long again
)

// guardCells is how many addresses are told apart; see limit.Table.
const guardCells = 1 << 14

// guard limits connections by what their address has done before. It is asked once for a connection, and has no lock.
type guard struct{ addresses *limit.Table[failures] }

// failures are an address's connections that have ended without a login.
type failures struct{ patient, heard limit.Bucket }

func newGuard() *guard { return &guard{limit.NewTable[failures](guardCells)} }

// hearing is how an address's next connection is received.
type hearing int

const (
	heardPatiently hearing = iota
	heardBriefly
	notHeard
)

func (g *guard) hears(remote net.Addr, now time.Time) hearing {
	address, ok := addressOf(remote)
	if !ok {
		return heardPatiently
	}
	switch f := g.addresses.OfAddress(address); {
	case !f.heard.Has(1, now, heardRate):
		return notHeard
	case !f.patient.Has(1, now, patientRate):
		return heardBriefly
	}
	return heardPatiently
}

// note takes down that a connection of the address has logged in, or has ended without.
func (g *guard) note(remote net.Addr, loggedIn bool, now time.Time) {
	address, ok := addressOf(remote)
	if !ok {
		return
	}
	f := g.addresses.OfAddress(address)
	if loggedIn {
		f.patient.Give(loginCredit, patientRate)
		f.heard.Give(loginCredit, heardRate)
		return
	}
	f.patient.Take(1, now, patientRate)
	f.heard.Take(1, now, heardRate)
}

// addressOf is what a connection's peer is held responsible by; ok is false for none, and for what is not TCP.
func addressOf(remote net.Addr) (network netip.Addr, ok bool) { return limit.AddressOf(remote) }
