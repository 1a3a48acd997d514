package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
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

func serve(ctx context.Context, cmd *cli.Command) error {
	c, err := loadSettings(cmd, nil)
	if err != nil {
		return err
	}
	logger, level := newLogger(cmd, c)
	signals, hangups := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(signals)
	defer signal.Stop(hangups)

	s, err := newService(c, logger, level)
	if err != nil {
		return cli.Exit(err.Error(), exitSettings)
	}
	logger.Info("starting", "version", version(), "commit", commit(), "engine", c.Engine)
	if err := s.start(ctx); err != nil {
		s.publisher.Close()
		s.engine.Close()
		return cli.Exit(err.Error(), startExitCode(err))
	}
	manager := systemd.New(os.Getenv, logger)
	manager.Ready()
	watch, endWatch := context.WithCancel(ctx)
	defer endWatch()
	go manager.Watch(watch, s.alive, s.status)
	for {
		select {
		case <-hangups:
			manager.Reloading()
			s.reload()
			manager.Ready()
			continue
		case sig := <-signals:
			logger.Info("stopping", "signal", sig.String())
		case <-ctx.Done():
			logger.Info("stopping", "signal", "none")
		case err := <-s.opsFailed:
			logger.Log(ctx, logging.LevelFatal, "http server failed", "error", err)
			return cli.Exit("", exitFailure)
		}
		endWatch()
		manager.Stopping()
		return stopInTime(s, signals)
	}
}

// stopInTime stops the service, or gives up: at the shutdown timeout, and at a second signal.
func stopInTime(s *service, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.config.ShutdownTimeout)
	defer cancel()
	stopped := make(chan error, 1)
	start := time.Now()
	go func() { stopped <- s.stop(ctx) }()

	grace := time.NewTimer(s.config.ShutdownTimeout)
	defer grace.Stop()
	select {
	case err := <-stopped:
		if err != nil {
			s.logger.Error("stopped with work left", "error", err, "took", time.Since(start))
			return cli.Exit("", exitFailure)
		}
		s.logger.Info("stopped", "took", time.Since(start))
		return nil
	case sig := <-secondSignal(signals, start):
		s.logger.Error("stopped at once by a second signal", "signal", sig.String(),
			"connections", s.server.Connections(), "records", s.publisher.Queued())
	case <-grace.C:
		s.logger.Error("stop timed out", "after", s.config.ShutdownTimeout,
			"connections", s.server.Connections(), "records", s.publisher.Queued())
	}
	return cli.Exit("", exitFailure)
}

// signalEcho is within what time a signal is the same one again: timeout(1) and others send it to the process and to its
// group.
const signalEcho = 100 * time.Millisecond

// secondSignal passes on the signals that come later than signalEcho after the first.
func secondSignal(signals <-chan os.Signal, first time.Time) <-chan os.Signal {
	second := make(chan os.Signal, 1)
	go func() {
		for sig := range signals {
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
	effective, err := logLevel(c)
	level.Set(effective)
	logger := logging.New(cmd.Root().ErrWriter, level, c.LogText).With("instance", c.InstanceID)
	slog.SetDefault(logger)
	if err != nil {
		logger.Error("log level file not read", "error", err)
	}
	return logger, level
}
