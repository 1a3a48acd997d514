//go:build !linux

package ingest

const controlRoom = 0

// source is the address of this machine that a datagram came to, which only Linux tells. The kernel chooses the one
// that an answer leaves from.
type source struct{}

func (s *source) control() []byte { return nil }

func sourceOf([]byte) source { return source{} }
