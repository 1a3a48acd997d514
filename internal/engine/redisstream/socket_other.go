//go:build !linux

package redisstream

import (
	"net"
	"syscall"
)

// setUnackedTimeout does nothing here: a dead peer is found by the keep-alive probes.
func setUnackedTimeout(_, _ string, _ syscall.RawConn) error { return nil }

// closedByPeer does not know; writing will tell.
func closedByPeer(net.Conn) bool { return false }
