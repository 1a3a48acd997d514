//go:build !linux

package sqlite

// freeSpace is known on Linux only.
func freeSpace(string) (bytes uint64, known bool) { return 0, false }

// filesystem is known on Linux only.
func filesystem(string) string { return "" }
