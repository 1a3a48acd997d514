package limit

import (
	"hash/maphash"
	"iter"
	"net"
	"net/netip"
)

// Table has a cell for each key, found by a hash that nobody outside can compute. Keys that share a cell share what is
// in it, so the memory is the same for any number of keys.
type Table[C any] struct {
	seed  maphash.Seed
	cells []C
}

// NewTable returns a table of so many cells, at most 2^32.
func NewTable[C any](cells int) *Table[C] {
	return &Table[C]{seed: maphash.MakeSeed(), cells: make([]C, cells)}
}

// Of is the key's cell.
func (t *Table[C]) Of(key string) *C {
	c, _ := t.Find(key)
	return c
}

// Find is the key's cell, and a tag that tells the key from others of that cell.
func (t *Table[C]) Find(key string) (cell *C, tag uint16) {
	h := maphash.String(t.seed, key)
	return t.at(h), uint16(h >> 48)
}

// OfAddress is the cell of whoever has the address; see Network.
func (t *Table[C]) OfAddress(a netip.Addr) *C {
	b := Network(a).As16()
	return t.at(maphash.Bytes(t.seed, b[:]))
}

// OfSource is the cell of an id as it is used by whoever has the address: nobody uses up what another address may do
// under that id.
func (t *Table[C]) OfSource(a netip.Addr, id string) *C {
	var h maphash.Hash
	h.SetSeed(t.seed)
	b := Network(a).As16()
	h.Write(b[:])
	h.WriteString(id)
	return t.at(h.Sum64())
}

// Cells are all cells, in any order.
func (t *Table[C]) Cells() iter.Seq[*C] {
	return func(yield func(*C) bool) {
		for i := range t.cells {
			if !yield(&t.cells[i]) {
				return
			}
		}
	}
}

func (t *Table[C]) at(hash uint64) *C { return &t.cells[hash%uint64(len(t.cells))] }

// Network is what addresses are held responsible by: a customer gets one of IPv4, and a /64 of IPv6.
func Network(a netip.Addr) netip.Addr {
	if a = a.Unmap(); a.Is6() {
		if prefix, err := a.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return a
}

// AddressOf is the network of a TCP or UDP address; ok is false for any other.
func AddressOf(remote net.Addr) (network netip.Addr, ok bool) {
	switch a := remote.(type) {
	case *net.TCPAddr:
		return Network(a.AddrPort().Addr()), true
	case *net.UDPAddr:
		return Network(a.AddrPort().Addr()), true
	}
	return netip.Addr{}, false
}
