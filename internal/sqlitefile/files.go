// Package sqlitefile is what every SQLite database of this program has in common: its files and who may read them, one
// connection that everybody uses in turns, and what an operator should do when it fails.
package sqlitefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Pragmas are set on every connection. The log shrinks to 64 MiB after a reader held it up. Memory mapping stays off: a
// failing disk would then end the process with a signal.
var Pragmas = []string{
	"journal_mode = WAL",
	"synchronous = FULL",
	"journal_size_limit = 67108864",
	"mmap_size = 0",
}

// The data directory holds places of people and passwords of devices: the files' owner writes them, their group may
// read them, and nobody else sees them, whatever the umask says.
const (
	dirMode = 0o750
	// MostOpen are the permissions that a file has at most.
	MostOpen fs.FileMode = 0o640
)

// SideFiles are the endings of the files that make up an open database: itself, log, index. SQLite makes the other two
// with the database's permissions.
var SideFiles = []string{"", "-wal", "-shm"}

// Path is the absolute path of the file of that name in the data directory.
func Path(dir, name string) (string, error) {
	if dir == "" {
		return "", errors.New("no data directory given")
	}
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("data directory %q: %w", dir, err)
	}
	return filepath.Join(absolute, name), nil
}

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
	for _, ending := range SideFiles {
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
