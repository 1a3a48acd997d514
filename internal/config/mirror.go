package config

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// Mirror are the settings of the platform that sees what devices send, too.
type Mirror struct {
	Address     string // host:port; empty = none
	ACK         string // MirrorOurs or MirrorBoth
	AckTimeout  time.Duration
	BufferBytes int64
}

// Who has to acknowledge, values of Mirror.ACK.
const (
	MirrorOurs = "ours"
	MirrorBoth = "both"
)

func parseHostPort(dst *string, v string) error {
	if v != "" && !isHostPort(v) {
		return errors.New("use host:port, such as traccar.example:5027")
	}
	*dst = v
	return nil
}

// mirrorParts is how many frames of the largest size the buffer has to hold: one device may have one part.
const mirrorParts = 16

func (c *Config) mirrorContradictions() (problems []Problem) {
	if c.Mirror.Address == "" {
		return nil
	}
	if c.Mirror.BufferBytes/mirrorParts < int64(c.MaxFrameBytes) {
		problems = append(problems, Problem{"MIRROR_BUFFER_BYTES", fmt.Sprintf(
			"%d is below %d times MAX_FRAME_BYTES (%d), so the largest frames are never mirrored; raise it or lower the other",
			c.Mirror.BufferBytes, mirrorParts, c.MaxFrameBytes)})
	}
	host, _, _ := net.SplitHostPort(c.Mirror.Address)
	if port := portOf(c.Mirror.Address); isLoopback(host) && (port == c.TeltonikaPort || port == c.TLSPort) {
		problems = append(problems, Problem{"MIRROR", fmt.Sprintf(
			"%s is this service itself; use the address of the old platform", c.Mirror.Address)})
	}
	return problems
}
