// Package proxyheader reads the PROXY protocol, versions 1 and 2, with which a load balancer says in front of a
// connection's first byte who the client really is. The header is believed only from addresses that are trusted.
// Specification: https://www.haproxy.org/download/3.4/doc/proxy-protocol.txt
package proxyheader

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// Trust is the set of balancers whose headers are believed. Nil and the zero value trust nobody. It may be used by
// several goroutines.
type Trust struct {
	prefixes []netip.Prefix
}

// ParseTrust reads networks (10.0.0.0/8, fd00::/8) and addresses (192.0.2.1), separated by commas. The empty text is
// trust in nobody. The error names every entry that is wrong.
func ParseTrust(text string) (*Trust, error) {
	t := new(Trust)
	var bad []error
	for entry := range strings.SplitSeq(text, ",") {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		prefix, err := parsePrefix(entry)
		if err != nil {
			bad = append(bad, fmt.Errorf("%q: %w", entry, err))
			continue
		}
		t.prefixes = append(t.prefixes, prefix)
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	return t, nil
}

var (
	errEntry = errors.New("use a network such as 10.0.0.0/8, or an address such as 192.0.2.1")
	errEmpty = errors.New("this network is every address there is: anybody could claim to be any client")
)

// parsePrefix reads a network, or an address as the network of that address alone.
func parsePrefix(entry string) (netip.Prefix, error) {
	if !strings.Contains(entry, "/") {
		address, err := netip.ParseAddr(entry)
		if err != nil || address.Zone() != "" {
			return netip.Prefix{}, errEntry
		}
		address = address.Unmap()
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(entry)
	switch {
	case err != nil || prefix.Addr().Is4In6():
		return netip.Prefix{}, errEntry
	case prefix.Bits() == 0:
		return netip.Prefix{}, errEmpty
	case prefix != prefix.Masked():
		return netip.Prefix{}, fmt.Errorf("this is an address inside a network; did you mean %s, or %s alone?",
			prefix.Masked(), prefix.Addr())
	}
	return prefix, nil
}

// Empty reports whether nobody is trusted, so that no header is read from anybody.
func (t *Trust) Empty() bool { return t == nil || len(t.prefixes) == 0 }

// Covers reports whether the address, of a TCP connection, is a balancer's.
func (t *Trust) Covers(remote net.Addr) bool {
	tcp, ok := remote.(*net.TCPAddr)
	if !ok || t.Empty() {
		return false
	}
	address := tcp.AddrPort().Addr().Unmap().WithZone("")
	for _, prefix := range t.prefixes {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}
