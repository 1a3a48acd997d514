// Package descriptors knows how many file descriptors this process may have.
package descriptors

// Limit is how many file descriptors the process may have, at most 2^30. 0 is not known.
func Limit() int { return limit() }
