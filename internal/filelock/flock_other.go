//go:build !unix || solaris || aix

package filelock

import (
	"errors"
	"os"
)

func take(*os.File) (bool, error) { return false, errors.ErrUnsupported }
