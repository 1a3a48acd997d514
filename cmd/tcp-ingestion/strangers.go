package main

import (
	"encoding/hex"
	"errors"
	"net"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/verdict"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
)

// turnedAway takes down a connection that there was no room for. What ends it has its line in the log.
func (s *service) turnedAway(remote net.Addr, transport string, reason ingest.CloseReason) {
	cause := stranger.CauseCrowdedOut
	if reason == ingest.ReasonRateLimited {
		cause = stranger.CauseRateLimited
	}
	s.strangers.Knock(stranger.Knock{Door: stranger.Door(transport), Address: remote.String(), Cause: cause})
}

// notHTTP takes down, and logs, what comes to a port for HTTP and is none.
func (s *service) notHTTP(door stranger.Door) func(remote net.Addr, first []byte) {
	return func(remote net.Addr, first []byte) {
		who, _ := s.strangers.Knock(stranger.Knock{Door: door, Address: remote.String(), Cause: stranger.CauseOnHTTP,
			First: first})
		s.logger.Warn("no http on the http port", "for", string(door), "remote", who.Address,
			"first", hex.EncodeToString(who.First[:min(len(who.First), maxLoggedFirst)]), "cause", who.Text)
	}
}

// forVerdicts is how the service is doing, as far as verdicts on devices depend on that.
func (s *service) forVerdicts() verdict.Service {
	v := verdict.Service{Instance: s.config.InstanceID, Queued: s.publisher.Queued(),
		Capacity: s.config.PublishQueueCapacity, Stopping: s.draining.Load()}
	if err := errors.Join(s.monitor.Err(), s.publisher.Err()); err != nil {
		v.Engine = err.Error()
	}
	return v
}

// maxLoggedFirst is how many of the first bytes are logged: no position is among them.
const maxLoggedFirst = 16
