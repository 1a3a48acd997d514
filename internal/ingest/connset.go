package ingest

import "net/netip"

// connSet are connections of which one may have to go. The server's lock is held.
type connSet map[*Conn]struct{}

// sampled is how many connections are looked at to find the one that goes: all of a small server's, and of a large
// one's enough to see which address has most.
const sampled = 128

// first is the connection that goes first of those that may, or nil if the sample has none. It is one of the address
// that has most of them: the one that has proved itself last, and among those that have not, the oldest, because a
// device shows what it is within seconds.
func (cs connSet) first(may func(*Conn) bool) *Conn {
	type group struct {
		size  int
		first *Conn
	}
	groups := make(map[netip.Addr]group)
	looked := 0
	for c := range cs { // which begins anywhere
		if may(c) {
			network := c.Network()
			g := groups[network]
			if g.size++; g.first == nil || c.goesBefore(g.first) {
				g.first = c
			}
			groups[network] = g
		}
		if looked++; looked == sampled {
			break
		}
	}
	var most group
	for _, g := range groups {
		if g.size > most.size || g.size == most.size && g.first.goesBefore(most.first) {
			most = g
		}
	}
	return most.first
}

func (c *Conn) goesBefore(o *Conn) bool {
	if c.proof != o.proof {
		return o.proof.earlier(c.proof)
	}
	return c.since < o.since
}

func anyConn(*Conn) bool { return true }

// later are the connections of devices that have proved themselves later than p, or not yet.
func later(p proof) func(*Conn) bool {
	return func(c *Conn) bool { return c.device != "" && p.earlier(c.proof) }
}
