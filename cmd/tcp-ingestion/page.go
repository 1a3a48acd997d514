package main

import (
	"context"
	"net"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadletter"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/overview"
)

// newOverview makes what the operator's page shows first.
func (s *service) newOverview(g prometheus.Gatherer) *overview.Overview {
	return overview.New(overview.Options{
		Gatherer: g, NotReady: s.notReady, Warnings: s.warnings, Durability: s.durable, Devices: s.memory.ByTransport,
	})
}

// startOverview has the last hour remembered, if there is a page to show it on.
func (s *service) startOverview(watch context.Context) {
	if s.commands.admin != nil {
		s.background(func() { s.overview.Run(watch) })
	}
}

// showStored has the API show what is stored, as far as the engine can.
func (s *service) showStored(o *admin.Options) {
	if records, can := s.engine.(engine.DeviceReader); can {
		o.Records = records
	}
	letters, can := s.engine.(engine.DeadLetterStore)
	if !can {
		return
	}
	replayer := deadletter.Replayer{Publisher: s.publisher, Raw: s.config.RecordRaw}
	if s.config.Signals {
		replayer.Meaning = meaningIn(context.Background(), s.memory.Memory)
	}
	o.DeadLetters = &deadletter.Desk{Store: letters, Replayer: replayer}
}

// pageURL is where the operator's page is for a browser on this machine, empty without one. A socket that was handed
// over need not be at ADMIN_ADDRESS, so it is asked where it is.
func (s *service) pageURL() string {
	a := s.pageAddress.Load()
	if a == nil {
		return ""
	}
	host := a.IP.String()
	if a.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(a.Port)) + "/"
}
