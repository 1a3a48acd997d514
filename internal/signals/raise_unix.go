//go:build unix

package signals

import (
	"os"
	"syscall"
)

// raise lets the signal have the effect that it usually has.
func raise(sig os.Signal) { _ = syscall.Kill(syscall.Getpid(), sig.(syscall.Signal)) }
