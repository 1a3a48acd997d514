// Package filelock locks files and directories against other processes. A lock ends with its file or its process, so
// none is ever left behind.
package filelock

import "os"

// Take locks the open file for this process, or reports at once that another one has locked it. The error says that
// nobody can tell, and is errors.ErrUnsupported where the system has no such locks.
func Take(f *os.File) (taken bool, err error) { return take(f) }
