package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ops"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/systemd"
)

func forwardCommand() *cli.Command {
	return &cli.Command{
		Name:  "forward",
		Usage: "deliver stored records to another system, each at least once and in its device's order",
		Description: "Runs beside the server, with the same engine settings, and goes on where it was. The place is\n" +
			"that of --forward-group: of several processes of a group one reads, and the others stand by. SIGTERM\n" +
			"and SIGINT have the batch in hand finished.\n" +
			"Exit codes: 0 stopped, 1 the engine or the target takes nothing as it is set up, or the files' directory\n" +
			"cannot be used now, 78 wrong settings.",
		Flags:  settingFlagsWith(ofForward, slices.Concat(engineSettings, forwardSettings)...),
		Action: func(ctx context.Context, cmd *cli.Command) error { return inLogFormat(cmd, runForward(ctx, cmd)) },
	}
}

// ofForward are the settings of the command forward that differ from the server's, which may be on the same machine.
var ofForward = map[string]string{"METRICS_PORT": "9096"}

// forwarding is the running command.
type forwarding struct {
	config   *config.Config
	logger   *slog.Logger
	engine   engine.Engine
	source   engine.Consumable // the engine
	sink     forward.Sink
	options  forward.Options
	registry *prometheus.Registry
	ends     endings
}

func runForward(ctx context.Context, cmd *cli.Command) error {
	c, err := loadSettings(cmd, ofForward)
	if err != nil {
		return err
	}
	logger, _ := newLogger(cmd, c)
	f := &forwarding{config: c, logger: logger, registry: prometheus.NewRegistry()}
	defer func() {
		if err := f.ends.run(context.Background()); err != nil {
			logger.Warn("not closed", "error", err)
		}
	}()
	if err := f.build(cmd); err != nil {
		return cli.Exit(err.Error(), buildExitCode(err))
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := f.run(ctx); err != nil {
		return cli.Exit(err.Error(), exitFailure)
	}
	return nil
}

// build makes the parts, and names all settings that are wrong.
func (f *forwarding) build(cmd *cli.Command) (err error) {
	c := f.config
	f.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(c.InstanceID))
	metrics := forward.NewMetrics(f.registry)
	refused := &forward.Refused{
		Path: c.ForwardRefusedFile(), MaxBytes: c.DeadLetterMaxBytes, Metrics: metrics, Logger: f.logger,
	}
	var engineErr, sinkErr error
	f.engine, engineErr = newReader(c, f.logger)
	if engineErr == nil {
		f.ends.add(func(context.Context) error { return f.engine.Close() })
	}
	f.sink, sinkErr = openSink(&sinkOptions{
		config: c, out: cmd.Root().Writer, refuse: refused.Put, registry: f.registry, logger: f.logger,
	})
	if sinkErr == nil {
		f.ends.add(func(context.Context) error { return f.sink.Close() })
	}
	made, formatErr := forwardFormat(c)
	if err := allInvalid(engineErr, sinkErr, formatErr); err != nil {
		return err
	}
	if f.source, err = able[engine.Consumable](f.engine, c, "be forwarded"); err != nil {
		return err
	}
	f.options = forward.Options{
		Sink: f.sink, Refuse: refused.Put, Format: made,
		Filter: forward.Filter{
			Devices: split(c.Forward.Devices), Families: split(c.Forward.Families), Signals: split(c.Forward.Signals),
		},
		BatchRecords: c.Forward.BatchRecords, BatchBytes: c.Forward.BatchBytes, BatchWait: c.Forward.BatchWait,
		StopTimeout: c.DrainTimeout, Metrics: metrics, Logger: f.logger,
	}
	return nil
}

// split are the entries of a list.
func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

// run forwards until a signal.
func (f *forwarding) run(ctx context.Context) (err error) {
	f.options.Consumer, err = f.source.Consumer(ctx, f.config.Forward.Group)
	if err != nil {
		return err
	}
	f.ends.add(func(context.Context) error { return f.options.Consumer.Close() })
	forwarder := forward.New(f.options)
	if err := f.serveHTTP(ctx, forwarder); err != nil {
		return err
	}
	manager := systemd.New(os.Getenv, f.logger)
	manager.Ready()
	context.AfterFunc(ctx, func() { manager.Stopping(f.config.DrainTimeout + exitTime) })
	if err := f.awaitStore(ctx); err != nil {
		return nil
	}
	f.logger.Info("forwarding", "version", version(), "engine", f.config.Engine, "group", f.config.Forward.Group,
		"to", f.config.Forward.Scheme())
	err = forwarder.Run(ctx)
	f.logger.Info("stopped")
	return err
}

// storeEvery is how often a store is looked for that the service has not made yet.
const storeEvery = time.Second

var errStopped = errors.New("stopped before there was a store")

// awaitStore waits for the service's file: one that is made here would be another user's.
func (f *forwarding) awaitStore(ctx context.Context) error {
	for told := false; !hasStore(f.config); told = true {
		if !told {
			f.logger.Warn("no store yet, waiting for the service to make it", "path", f.config.DataDir)
		}
		if !backoff.Pause(ctx, storeEvery) {
			return errStopped
		}
	}
	return nil
}

// serveHTTP answers for the operator's tools, as the service does.
func (f *forwarding) serveHTTP(ctx context.Context, forwarder *forward.Forwarder) error {
	sockets, err := newSockets(f.config)
	if err != nil {
		return err
	}
	listeners, err := sockets.TCP(ctx, forHTTP, []string{""}, f.config.MetricsPort)
	if err != nil {
		return fmt.Errorf("METRICS_PORT: %w", err)
	}
	server := ops.NewServer(ops.Options{
		Gatherer: f.registry, NotReady: forwarder.NotReady, Warnings: forwarder.Warnings,
		MaxConnections: httpConnections(f.config, maxOpsHTTP), Logger: f.logger,
	})
	f.ends.add(func(ctx context.Context) error { server.Close(ctx); return nil })
	f.logger.Info("listening", "for", forHTTP, "address", listeners[0].Addr().String())
	for _, l := range listeners {
		go func() {
			if err := server.Serve(l); err != nil {
				f.logger.Error("metrics server failed", "error", err)
			}
		}()
	}
	return nil
}
