package main

import (
	"log/slog"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/descriptors"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
)

// How the process's file descriptors are shared out. Devices get all but a tenth, and never the last minReserve:
// without some for HTTP /healthz fails, and a process that is well is restarted.
const (
	minReserve      = 40
	ownDescriptors  = 26 // the engine's files or connections, listeners, the runtime's
	minHTTP         = 4  // connections of a HTTP listener
	maxOpsHTTP      = 64
	manyDescriptors = 10_000_000

	mirrorDescriptors = 18 // the files of its buffer
)

// descriptorLimit is how many the process may have.
func descriptorLimit() int {
	if n := descriptors.Limit(); n > 0 {
		return min(n, manyDescriptors)
	}
	return 1024
}

// maxConnections is the setting, or what is left when the reserve is taken from the file descriptors.
func maxConnections(c *config.Config) int {
	if c.MaxConnections > 0 {
		return c.MaxConnections
	}
	n := descriptorLimit()
	n -= max(n/10, minReserve)
	if isMirrored(c) {
		n = (n - mirrorDescriptors) / 2
	}
	return max(1, n)
}

// deviceDescriptors is how many the devices' connections take, those to the mirror included.
func deviceDescriptors(c *config.Config) int {
	n := maxConnections(c)
	if isMirrored(c) {
		n = 2*n + mirrorDescriptors
	}
	return n
}

func isMirrored(c *config.Config) bool { return c.Mirror.Address != "" }

// httpConnections is how many connections a HTTP listener may have, up to most: a quarter of what devices and the
// process itself leave.
func httpConnections(c *config.Config, most int) int {
	devices := maxConnections(c)
	spare := descriptorLimit() - deviceDescriptors(c) - ingest.OverflowReserve(devices) - ownDescriptors
	return min(most, max(minHTTP, spare/4))
}

// warnOfDescriptors says so if MAX_CONNECTIONS leaves too few.
func warnOfDescriptors(c *config.Config, logger *slog.Logger) {
	if n := descriptorLimit(); n-deviceDescriptors(c) < minReserve {
		logger.Warn("few file descriptors are left beside devices, raise their limit or allow fewer connections",
			"limit", n, "max_connections", maxConnections(c))
	}
}
