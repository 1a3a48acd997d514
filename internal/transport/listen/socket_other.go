//go:build !unix

package listen

import "errors"

func socketKind(int) (datagrams, listens bool, err error) { return false, false, errors.ErrUnsupported }
