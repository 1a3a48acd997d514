// Package atomicfile writes files that are there whole or not at all, also after a loss of power.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Write gives the file this content: after a failure it has its old one, or none, or the new one. One process at a time
// writes a file; ".new" is added to its name meanwhile.
func Write(path string, content []byte, mode fs.FileMode) error {
	unnamed := path + ".new"
	f, err := os.OpenFile(unnamed, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return Rename(unnamed, path)
}

// Rename gives a file of the same directory another name, for good when it returns. The file itself is synced.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// SyncDir makes the names of a directory's files durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
