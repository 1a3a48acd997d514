//go:build !linux

package simulate

import "syscall"

// portLater does nothing: the system chooses a port before it connects.
func portLater(_, _ string, _ syscall.RawConn) error { return nil }
