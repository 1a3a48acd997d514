package main

import (
	"context"
	"log/slog"
	"os"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/signals"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/systemd"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "receive devices and store their records",
		Description: "Without settings, devices connect to port 5027 and records go to ./data/telemetry.db.\n" +
			"SIGTERM and SIGINT stop in order; a second one stops at once. Nothing acknowledged is lost either way.",
		Flags:  settingFlags(),
		Action: serve,
	}
}

// serve waits for signals and for nothing else: whatever reads a file or asks the network runs beside it, so that
// nothing that hangs keeps the process from stopping.
func serve(ctx context.Context, cmd *cli.Command) error {
	return inLogFormat(cmd, serveUntilStopped(ctx, cmd))
}

func serveUntilStopped(ctx context.Context, cmd *cli.Command) error {
	begun := beginStart(ctx, cmd)
	defer begun.cancel()
	select {
	case r := <-begun.result:
		if r.err != nil {
			return r.err
		}
		return r.service.run(ctx)
	case sig := <-signals.Stop:
		return begun.giveUp(sig.String())
	case <-ctx.Done():
		return begun.giveUp("none")
	}
}

// start is a service that is being started.
type start struct {
	cancel context.CancelFunc
	result chan startResult
}

type startResult struct {
	service *service
	err     error
}

func beginStart(ctx context.Context, cmd *cli.Command) *start {
	ctx, cancel := context.WithCancel(ctx)
	s := &start{cancel: cancel, result: make(chan startResult, 1)}
	go func() {
		service, err := startService(ctx, cmd)
		s.result <- startResult{service, err}
	}()
	return s
}

// startService makes the configured service and starts it. The error has an exit code.
func startService(ctx context.Context, cmd *cli.Command) (*service, error) {
	values := gatherSettings(cmd, nil)
	c, err := inForce(values)
	if err != nil {
		return nil, err
	}
	logger, level := newLogger(cmd, c)
	s, err := newService(c, logger, level)
	if err != nil {
		return nil, cli.Exit(err.Error(), buildExitCode(err))
	}
	for _, warning := range values.Warnings {
		logger.Warn("a setting to look at", "warning", warning)
	}
	for name, meant := range misspeltSettings(os.Environ()) {
		logger.Warn("environment variable is no setting", "variable", name, "meant", meant)
	}
	logger.Info("starting", "version", version(), "commit", commit(), "engine", c.Engine, "commands", controlOf(c).where)
	if err := s.start(ctx); err != nil {
		return nil, cli.Exit(err.Error(), startExitCode(err))
	}
	return s, nil
}

// abandonedStart is how long a start may take to end that is given up. It has promised nobody anything.
const abandonedStart = 2 * time.Second

// giveUp ends the start.
func (s *start) giveUp(sig string) error {
	s.cancel()
	select {
	case r := <-s.result:
		if r.err != nil {
			return r.err
		}
		r.service.logger.Info("stopping", "signal", sig)
		return stopInTime(r.service)
	case <-signals.Stop:
	case <-time.After(abandonedStart):
	}
	return cli.Exit("stopped before the start was complete, which waits for a file or the network", exitOK)
}

// run serves until a signal stops it, or ctx.
func (s *service) run(ctx context.Context) error {
	manager := systemd.New(os.Getenv, s.logger)
	manager.Ready()
	beside, end := context.WithCancel(ctx)
	defer end()
	go manager.Watch(beside, s.alive, s.status)
	go s.reloadOnHangup(beside, manager)
	select {
	case sig := <-signals.Stop:
		s.logger.Info("stopping", "signal", sig.String(), "within", s.config.StopTime())
	case <-ctx.Done():
		s.logger.Info("stopping", "signal", "none")
	case err := <-s.opsFailed:
		s.logger.Log(ctx, logging.LevelFatal, "http server failed", "error", err)
		return cli.Exit("", exitFailure)
	}
	end()
	manager.Stopping(s.config.StopTime() + exitTime)
	return stopInTime(s)
}

// exitTime is what a process needs to say why it ends, and to end.
const exitTime = 5 * time.Second

// stopInTime stops the service, or gives up: when a stop may take no longer, and at a second signal.
func stopInTime(s *service) error {
	stopped := make(chan error, 1)
	begin := time.Now()
	go func() { stopped <- s.stop() }()

	grace := time.NewTimer(s.config.StopTime())
	defer grace.Stop()
	select {
	case err := <-stopped:
		if err != nil {
			s.logger.Error("stopped with work left", "error", err, "took", time.Since(begin))
			return cli.Exit("", exitFailure)
		}
		s.logger.Info("stopped", "took", time.Since(begin))
		return nil
	case sig := <-secondSignal(begin):
		s.logger.Error("stopped at once by a second signal", "signal", sig.String(),
			"connections", s.server.Connections(), "records", s.publisher.Queued())
	case <-grace.C:
		s.logger.Error("stop timed out", "after", s.config.StopTime(),
			"connections", s.server.Connections(), "records", s.publisher.Queued())
	}
	return cli.Exit("", exitFailure)
}

// signalEcho is within what time a signal is the same one again: timeout(1) and others send it to the process and to
// its group.
const signalEcho = 100 * time.Millisecond

// secondSignal passes on the signals that come later than signalEcho after the first.
func secondSignal(first time.Time) <-chan os.Signal {
	second := make(chan os.Signal, 1)
	go func() {
		for sig := range signals.Stop {
			if time.Since(first) > signalEcho {
				second <- sig
				return
			}
		}
	}()
	return second
}

// newLogger makes the process's logger, on standard error, and its level, which may be changed.
func newLogger(cmd *cli.Command, c *config.Config) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	effective, err := levelInForce(c)
	level.Set(effective)
	logger := logging.New(cmd.Root().ErrWriter, level, logsText(cmd, c.LogFormat)).With("instance", c.InstanceID)
	slog.SetDefault(logger)
	if err != nil {
		logger.Error("log level file not read", "error", err)
	}
	return logger, level
}
