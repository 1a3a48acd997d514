package main

import (
	"context"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/mirror"
)

// newMirror is the way to the old platform that sees what devices send, too; nil without one.
func (s *service) newMirror(registry prometheus.Registerer) *mirror.Mirror {
	c := &s.config.Mirror
	if !isMirrored(s.config) {
		return nil
	}
	if s.config.UDPPort >= 0 {
		s.logger.Warn("datagrams are not mirrored", "address", c.Address)
	}
	m := mirror.New(mirror.Options{
		Address: c.Address, Both: c.ACK == config.MirrorBoth, AckTimeout: c.AckTimeout,
		Dir: filepath.Join(s.config.DataDir, "mirror"), BufferBytes: c.BufferBytes,
		MaxDevices: maxConnections(s.config), Registerer: registry, Logger: s.logger,
	})
	s.ends.add(func(ctx context.Context) error { return m.Close(ctx) })
	return m
}
