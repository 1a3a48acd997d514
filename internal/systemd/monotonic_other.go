//go:build !linux

package systemd

// monotonicMicroseconds is not asked for: systemd is for Linux only.
func monotonicMicroseconds() int64 { return 0 }
