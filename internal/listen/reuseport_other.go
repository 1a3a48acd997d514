//go:build !linux

package listen

import (
	"errors"
	"syscall"
)

const canReusePort = false

func reusePort(syscall.RawConn) error { return errors.ErrUnsupported }

func sendAllTo(syscall.RawConn, uint32) error { return errors.ErrUnsupported }
