package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/authority"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/backoff"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/mirror"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ops"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/overview"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/shed"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/teltonikasession"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/listen"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/tlsserver"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// service is the running server: its parts in the order in which they are built, started and, in reverse, stopped.
type service struct {
	config    *config.Config
	logger    *slog.Logger
	level     *slog.LevelVar
	reloads   []*reloadStep // what SIGHUP does
	engine    engine.Engine
	publisher *publish.Publisher
	allowList *authority.List // nil if all devices are known
	memory    *memory
	strangers *stranger.Sharing
	commands  *commands
	sockets   *listen.Set
	balancers *transport.Balancers
	tls       *tlsserver.Server // nil without TLS
	tap       *tap.Hub
	mirror    *mirror.Mirror // nil without one
	sessions  *teltonikasession.Adapter
	server    *ingest.Server
	shedder   *shed.Shedder
	packets   *ingest.PacketServer // nil without UDP
	monitor   *ops.Monitor
	durable   *ops.Durability
	overview  *overview.Overview
	ops       *ops.Server
	listening atomic.Bool // for devices
	draining  atomic.Bool

	devicesAddress net.Addr
	opsAddress     net.Addr
	pageAddress    atomic.Pointer[net.TCPAddr] // nil without the operator's page

	ends      endings
	opsFailed chan error         // a HTTP listener's end, if it is not ours
	stopWatch context.CancelFunc // ends what watches
	watching  sync.WaitGroup
}

// newService builds the parts. Nothing is listened on or connected to yet.
func newService(c *config.Config, logger *slog.Logger, level *slog.LevelVar) (*service, error) {
	s := &service{config: c, logger: logger, level: level}
	if err := s.build(); err != nil {
		s.abandon()
		return nil, err
	}
	return s, nil
}

func (s *service) build() (err error) {
	c, logger := s.config, s.logger
	if err := s.lockDataDir(); err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		buildInfo(c.InstanceID))

	if s.sockets, err = newSockets(c); err != nil {
		return err
	}
	var balancersErr, tlsErr error
	s.balancers, balancersErr = newBalancers(c, registry, logger)
	s.tls, tlsErr = newTLS(c, registry, logger)
	policy, policyErr := commandPolicy(c)
	names, namesErr := commandNames(c)
	var memoryErr error
	s.memory, memoryErr = newMemory(c, s.mayAsk(), registry, logger)
	if err := allInvalid(balancersErr, tlsErr, policyErr, namesErr, memoryErr); err != nil {
		return err
	}
	s.tap = tap.NewHub(registry)
	knocks := stranger.NewRing(c.InstanceID)
	knocks.Watch = s.tap.Knock
	s.strangers = stranger.Share(knocks, s.memory.store, logger)
	s.ends.add(s.endOps)
	entry, err := engineOf(c)
	if err != nil {
		return err
	}
	if s.engine, err = entry.open(c, logger); err != nil {
		return err
	}
	s.ends.add(s.endEngine)
	if s.allowList, err = newAllowList(c, registry, logger); err != nil {
		return err
	}
	s.ends.add(s.endAllowList)
	s.publisher = publish.New(publish.Options{
		Engine: s.engine, Shards: entry.shards(c),
		Capacity: c.PublishQueueCapacity, LargestFrame: teltonika.MaxRecords, Timeout: c.PublishTimeout,
		Metrics: publish.NewMetrics(prometheus.WrapRegistererWithPrefix("teltonika_", registry)), Logger: logger,
	})
	s.ends.add(func(context.Context) error { s.publisher.Close(); return nil })
	s.ends.add(s.endMemory)
	if s.commands, err = newCommands(c, policy, s.memory.Memory, registry, logger); err != nil {
		return err
	}
	s.commands.names.Store(names)
	s.ends.add(s.endWatching)
	s.ends.add(s.endCommands)
	s.mirror = s.newMirror(registry)
	s.sessions = teltonikasession.New(teltonikasession.Options{
		Publisher: s.publisher, Authority: s.authority(), Commands: s.commands.dispatcher, Devices: s.memory.Memory,
		Strangers: s.strangers.Ring, Tap: s.tap, Mirror: s.mirror,
		Listed: s.allowList != nil, StrictAuth: c.StrictDeviceAuth,
		Signals:      c.Signals,
		RecordRaw:    c.RecordRaw,
		UnlistedRate: c.UnlistedRecordRate, UnlistedAddressRate: c.UnlistedAddressRecordRate,
		UnlistedAddressBytes: c.UnlistedAddressByteRate,
		HandshakeTimeout:     c.HandshakeTimeout, IdleTimeout: c.IdleTimeout, WriteTimeout: c.WriteTimeout,
		MaxFrameBytes: c.MaxFrameBytes, Metrics: teltonikasession.NewMetrics(registry), Logger: logger,
	})
	s.server = ingest.New(ingest.Options{
		Adapter: s.sessions, MaxConnections: maxConnections(c), OpenTimeout: c.HandshakeTimeout + transport.Margin,
		Metrics: ingest.NewMetrics(prometheus.WrapRegistererWithPrefix("teltonika_", registry)), Logger: logger,
		TurnedAway: s.turnedAway,
	})
	s.shedder = shed.New(shed.Options{
		Devices: s.commands.dispatcher, Over: c.CloseSpread, Above: c.ShedAbove,
		Metrics: prometheus.WrapRegistererWithPrefix("teltonika_", registry), Logger: logger,
	})
	warnOfDescriptors(c, logger)
	s.packets = s.newPacketServer(registry)
	s.ends.add(s.endDevices)
	s.monitor = ops.NewMonitor(s.engine.Probe, registry)
	s.durable = ops.NewDurability(inspect(s.engine), registry, logger)
	s.overview = s.newOverview(registry)
	s.ops = ops.NewServer(ops.Options{
		Gatherer: registry, NotReady: s.notReady, Warnings: s.warnings, Durability: s.durable, Page: s.pageURL,
		MaxConnections: httpConnections(c, maxOpsHTTP), NotHTTP: s.notHTTP(stranger.DoorHTTP), Logger: logger,
	})
	return nil
}

// abandon ends a service that nobody has been promised anything by.
func (s *service) abandon() {
	ctx, cancel := context.WithTimeout(context.Background(), abandonedStart)
	defer cancel()
	_ = s.ends.run(ctx) // the start's own error is the one that is told
}

// start opens the listeners, HTTP first, so that a process that cannot serve devices can say why.
func (s *service) start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			s.abandon()
		}
	}()
	http, err := s.sockets.TCP(ctx, forHTTP, []string{""}, s.config.MetricsPort)
	if err != nil {
		return fmt.Errorf("METRICS_PORT: %w", err)
	}
	s.opsAddress = http[0].Addr()
	s.opsFailed = make(chan error, len(http))
	for _, l := range http {
		go func() { s.opsFailed <- s.ops.Serve(l) }()
	}
	watch, stopWatch := context.WithCancel(context.Background())
	s.stopWatch = stopWatch
	if err := s.startPprof(ctx); err != nil {
		return err
	}
	s.logger.Info("listening", "for", forHTTP, "address", s.opsAddress.String())
	s.onReload("LOG_LEVEL_FILE", s.reloadLevel)
	s.background(func() { s.migrate(watch) })
	s.background(func() { s.monitor.Run(watch) })
	s.background(func() { s.durable.Run(watch) })
	s.background(func() { boundGarbage(watch) })
	if err := s.startAllowList(ctx, watch); err != nil {
		return err
	}
	if err := s.startAdmin(ctx); err != nil {
		return err
	}
	s.startOverview(watch)
	s.startMemory(ctx, watch)
	s.commands.start()
	s.onReload("COMMAND_POLICY", s.reloadPolicy)
	s.onReload("COMMANDS_FILE", s.reloadNames)
	s.startTLS(watch)
	if err := s.mirror.Start(); err != nil {
		return fmt.Errorf("DATA_DIR: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stopped before the first device: %w", err)
	}
	if err := s.listenForDevices(ctx); err != nil {
		return err
	}
	s.background(func() { s.shedder.Watch(watch) })
	s.listening.Store(true)
	return nil
}

// background runs what watches until stopWatch. The process ends if it breaks.
func (s *service) background(watch func()) {
	s.watching.Go(func() {
		defer logging.ExitOnPanic(s.logger)
		watch()
	})
}

// watchersTimeout is how long a stop waits for what watches. It leaves nothing behind that matters, and may hang with
// a file that it reads.
const watchersTimeout = 2 * time.Second

func (s *service) endWatching(ctx context.Context) error {
	if s.stopWatch == nil {
		return nil
	}
	s.stopWatch()
	ended := make(chan struct{})
	go func() {
		s.watching.Wait()
		close(ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, watchersTimeout)
	defer cancel()
	select {
	case <-ended:
	case <-ctx.Done():
		s.logger.Warn("stopping without what watches files and the engine, it hangs")
	}
	return nil
}

// notReady says why the process should get no new devices.
func (s *service) notReady() []string {
	var reasons []string
	if s.draining.Load() {
		reasons = append(reasons, "draining")
	}
	if !s.listening.Load() {
		reasons = append(reasons, "not listening for devices yet")
	}
	if s.allowList != nil && s.allowList.Ready() != nil {
		reasons = append(reasons, s.allowList.Ready().Error())
	}
	if err := s.monitor.Err(); err != nil {
		reasons = append(reasons, "engine: "+err.Error())
	}
	if err := s.publisher.Err(); err != nil {
		reasons = append(reasons, "writes fail: "+err.Error())
	}
	return reasons
}

// warnings says what does not work without being a reason to keep devices away.
func (s *service) warnings() []string {
	var warnings []string
	if err := s.commands.store.Err(); err != nil {
		warnings = append(warnings, "commands cannot be kept: "+err.Error())
	}
	for _, err := range s.monitor.Unavailable() {
		warnings = append(warnings, "engine: "+err.Error())
	}
	if err := s.mirror.Err(); err != nil {
		warnings = append(warnings, "mirror: "+err.Error())
	}
	return warnings
}

// stop ends the service in the reverse order of its making: no new devices, frames at hand finished, records
// flushed, sockets closed, engine closed, HTTP last. An error says what was left; nothing of that was acknowledged.
func (s *service) stop() error {
	s.draining.Store(true)
	s.letGo()
	ctx, cancel := context.WithTimeout(context.Background(), s.config.ShutdownTimeout)
	defer cancel()
	return s.ends.run(ctx)
}

// letGo has balancers notice that the service is not ready, for DRAIN_DELAY, and devices go one by one, over
// CLOSE_SPREAD. Whoever is connected is served.
func (s *service) letGo() {
	backoff.Pause(context.Background(), s.config.DrainDelay)
	s.shedder.Close()
	if s.config.CloseSpread > 0 {
		s.server.StopListening()
		shed.All(context.Background(), s.commands.dispatcher, s.config.CloseSpread)
	}
}

// endDevices has frames at hand finished and their records flushed, for DRAIN_TIMEOUT_MS, and closes the sockets.
func (s *service) endDevices(ctx context.Context) (err error) {
	drain, cancel := context.WithTimeout(ctx, s.config.DrainTimeout)
	defer cancel()
	if s.commands.admin != nil {
		s.commands.admin.Close(drain)
	}
	if drainErr := errors.Join(s.drainDevices(drain), s.publisher.Drain(drain)); drainErr != nil {
		err = fmt.Errorf("not drained within %v, %s refused: %w",
			s.config.DrainTimeout, plural(s.publisher.Queued(), "record"), drainErr)
	}
	s.publisher.Close() // before the sockets: what waits for it ends
	if s.packets != nil {
		s.packets.Close()
	}
	s.server.Close(ctx)
	return err
}

// endCommands has what is known of devices be saved at the same time: both may wait for a store that hangs.
func (s *service) endCommands(ctx context.Context) error {
	if s.memory.end != nil {
		s.memory.end()
	}
	s.commands.stop(ctx, s.logger)
	return nil
}

func (s *service) endAllowList(context.Context) error {
	if s.allowList != nil {
		s.allowList.Source.Close()
	}
	return nil
}

func (s *service) endEngine(context.Context) error {
	if err := s.engine.Close(); err != nil {
		return fmt.Errorf("engine: %w", err)
	}
	return nil
}

// endOps ends HTTP, which comes last: until then it says how the stop goes.
func (s *service) endOps(ctx context.Context) error {
	if s.ops != nil {
		s.ops.Close(ctx)
	}
	return nil
}

// drainDevices ends what is heard of devices, on connections and in datagrams at the same time.
func (s *service) drainDevices(ctx context.Context) error {
	packets := make(chan error, 1)
	go func() {
		if s.packets == nil {
			packets <- nil
			return
		}
		packets <- s.packets.Drain(ctx)
	}()
	return errors.Join(s.server.Drain(ctx), <-packets)
}

// port is the number of a TCP address.
func port(a net.Addr) int { return a.(*net.TCPAddr).Port }
