package ingest

import (
	"container/list"
	"net/netip"
)

// unproven are the open connections on which nobody has shown to be a device: no frame is acknowledged, and the device is
// not known otherwise. Whoever makes up logins can have any number of them, so they are the ones that go when there is no
// room. The server's lock is held.
type unproven struct {
	share   int                       // of an address
	all     list.List                 // of *Conn, oldest first
	of      map[netip.Addr]*list.List // the same, by address; no address has an empty list
	largest netip.Addr                // the address that had most of them, when one was added last
}

// standing is a connection's place among the unproven.
type standing struct {
	inAll, ofAddress *list.Element
	address          netip.Addr
}

func newUnproven(share int) unproven {
	return unproven{share: share, of: make(map[netip.Addr]*list.List)}
}

func (u *unproven) len() int { return u.all.Len() }

// add has the connection wait for its proof.
func (u *unproven) add(c *Conn) { c.standing = &standing{inAll: u.all.PushBack(c)} }

// attribute says whose the connection is.
func (u *unproven) attribute(c *Conn, address netip.Addr) {
	own := u.of[address]
	if own == nil {
		own = list.New()
		u.of[address] = own
	}
	c.standing.address, c.standing.ofAddress = address, own.PushBack(c)
	if largest := u.of[u.largest]; largest == nil || own.Len() > largest.Len() {
		u.largest = address
	}
}

// remove forgets the connection, if it is here.
func (u *unproven) remove(c *Conn) {
	p := c.standing
	if p == nil {
		return
	}
	c.standing = nil
	u.all.Remove(p.inAll)
	if p.ofAddress == nil {
		return
	}
	own := u.of[p.address]
	if own.Remove(p.ofAddress); own.Len() == 0 {
		delete(u.of, p.address)
	}
}

// first is the connection that goes first, of one or more: the oldest one of an address that has more than its share,
// or else of all, because a device shows what it is within seconds.
func (u *unproven) first() *Conn {
	if own := u.of[u.largest]; own != nil && own.Len() > u.share {
		return own.Front().Value.(*Conn)
	}
	return u.all.Front().Value.(*Conn)
}
