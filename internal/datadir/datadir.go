// Package datadir makes the files of the data directory, which hold places of people and passwords of devices: their
// owner writes them, their group may read them, and nobody else sees them, whatever the umask says.
package datadir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	dirMode = 0o750
	// MostOpen are the permissions that a file has at most.
	MostOpen fs.FileMode = 0o640
)

// sideFiles are the endings of the files that SQLite keeps beside a database. It makes them with the database's permissions.
var sideFiles = []string{"", "-wal", "-shm"}

// Create makes an empty file with these permissions for a database to be opened, and its directory, unless they are
// there. It never opens a file that is there: to close it again would drop this process's locks on it.
func Create(path string, mode fs.FileMode) error {
	if err := makeDirectory(filepath.Dir(path)); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// makeDirectory makes a new directory's own entry durable too, or the files in it would not be.
func makeDirectory(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	parent, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	return errors.Join(parent.Sync(), parent.Close())
}

// Tighten takes from a database and its side files what exceeds MostOpen, and never adds anything. The error says which
// file stays open to others, because it belongs to another user.
func Tighten(path string) error {
	var failed error
	for _, ending := range sideFiles {
		name := path + ending
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm()&^MostOpen == 0 {
			continue // SQLite says what is wrong with a file that cannot even be looked at
		}
		if err := os.Chmod(name, info.Mode().Perm()&MostOpen); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%w: its mode is %#o", err, info.Mode().Perm()))
		}
	}
	return failed
}
