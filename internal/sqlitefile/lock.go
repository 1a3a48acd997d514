package sqlitefile

import (
	"errors"
	"fmt"
	"os"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/filelock"
)

// ErrInUse is that another process serves from the data directory.
var ErrInUse = errors.New("another process serves from this directory")

// Lock makes this the one process that serves from the data directory, until the lock is closed or the process ends. It
// leaves no file behind. The directory is made if it is missing. The error is ErrInUse, or says that nobody can tell.
func Lock(dir string) (lock *os.File, err error) {
	if err := makeDirectory(dir); err != nil {
		return nil, err
	}
	if lock, err = os.Open(dir); err != nil {
		return nil, err
	}
	taken, err := filelock.Take(lock)
	if taken {
		return lock, nil
	}
	_ = lock.Close() // it was only read
	if err == nil {
		return nil, ErrInUse
	}
	return nil, fmt.Errorf("lock %s: %w", dir, err)
}
