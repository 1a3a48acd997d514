package ingest

import (
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"time"
)

// What one address may do to the front door: so many connections in a row that end without a login, and then one a
// second. A login gives loginCredit of them back, so that an address which a fleet shares, behind a carrier's NAT or
// a load balancer, does not run dry for a few bad devices.
const (
	failureBurst = 200
	failureRate  = 1 // a second
	loginCredit  = 50
)

// guardCells is how many addresses are told apart. Others share a cell, so memory is the same for any number.
const guardCells = 1 << 14

// guard limits connections by what their address has done before. It is asked once for a connection.
type guard struct {
	seed       maphash.Seed
	maxPending int
	mu         sync.Mutex
	cells      [guardCells]allowance
}

// allowance is what an address has left.
type allowance struct {
	used    float64 // failures not forgiven yet
	since   time.Time
	pending int // connections that are neither logged in nor at their end
}

// minPending is how many connections of one address may wait for their login on the smallest server.
const minPending = 64

// newGuard returns a guard for a server of so many connections. One address may have half of them waiting for their
// login: a fleet behind one address comes back as a burst, and what no fleet does must leave room for others.
func newGuard(maxConnections int) *guard {
	return &guard{seed: maphash.MakeSeed(), maxPending: max(minPending, maxConnections/2)}
}

// cell is the address's, with what time has forgiven taken off. The lock is held.
func (g *guard) cell(address netip.Addr, now time.Time) *allowance {
	c := &g.cells[maphash.Comparable(g.seed, network(address))%guardCells]
	c.used = max(0, c.used-failureRate*now.Sub(c.since).Seconds())
	c.since = now
	return c
}

// network is what addresses are held responsible by: a customer gets one of IPv4, and a /64 of IPv6.
func network(address netip.Addr) netip.Addr {
	if address = address.Unmap(); address.Is6() {
		if prefix, err := address.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return address
}

// admits reports whether the address may connect, and expects a note if so.
func (g *guard) admits(remote net.Addr, now time.Time) bool {
	address, ok := addressOf(remote)
	if !ok {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.cell(address, now)
	if c.used >= failureBurst || c.pending >= g.maxPending {
		return false
	}
	c.pending++
	return true
}

// note takes down that a connection of the address has logged in, or has ended without.
func (g *guard) note(remote net.Addr, loggedIn bool, now time.Time) {
	address, ok := addressOf(remote)
	if !ok {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.cell(address, now)
	c.pending = max(0, c.pending-1)
	if loggedIn {
		c.used = max(0, c.used-loginCredit)
		return
	}
	c.used = min(c.used+1, failureBurst+1)
}

// forget takes back that the address was admitted.
func (g *guard) forget(remote net.Addr, now time.Time) {
	if address, ok := addressOf(remote); ok {
		g.mu.Lock()
		defer g.mu.Unlock()
		c := g.cell(address, now)
		c.pending = max(0, c.pending-1)
	}
}

// addressOf is the address without its port; ok is false for none, and for what is not TCP.
func addressOf(remote net.Addr) (address netip.Addr, ok bool) {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return tcp.AddrPort().Addr().Unmap(), true
}
