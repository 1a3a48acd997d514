package config

import (
	"errors"
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
