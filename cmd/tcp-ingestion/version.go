package main

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/urfave/cli/v3"
)

// Set by the Makefile with -ldflags -X; else what the Go toolchain has recorded is shown.
var buildVersion, buildCommit string

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print version, commit and Go version",
		Action: func(_ context.Context, cmd *cli.Command) error {
			_, err := fmt.Fprintf(cmd.Root().Writer, "tcp-ingestion %s commit %s %s\n", version(), commit(), runtime.Version())
			return err
		},
	}
}

func version() string {
	if buildVersion != "" {
		return buildVersion
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func commit() string {
	if buildCommit != "" {
		return buildCommit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}

// buildInfo is a metric that is always 1 and tells by its labels what runs.
func buildInfo(instance string) prometheus.Collector {
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "tcp_ingestion_build_info",
		Help: "What runs, as labels: always 1.",
		ConstLabels: prometheus.Labels{"version": version(), "commit": commit(), "go_version": runtime.Version(),
			"instance_id": instance},
	})
	g.Set(1)
	return g
}
