package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/named"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
)

// commands is the way to the devices: the dispatcher that carries out what they are asked, the store behind it, and the
// API in front of it.
type commands struct {
	dispatcher *command.Dispatcher
	store      command.Store
	names      atomic.Pointer[named.Table]
	admin      *admin.Server // nil if it is off
	address    net.Addr      // of the API
	end        context.CancelFunc
	ended      chan struct{}
}

// How long a command waits for its moment on the connection, and how long after an answer the next one is held back.
const (
	sendTimeout = 5 * time.Second
	answerGap   = 500 * time.Millisecond
)

// newCommands makes the parts. The store need not be reachable.
func newCommands(
	c *config.Config, policy *command.Policy, known *device.Memory, r prometheus.Registerer, logger *slog.Logger,
) (*commands, error) {
	store, err := controlOf(c).open(c, r, logger)
	if err != nil {
		return nil, err
	}
	dispatcher := command.NewDispatcher(command.Options{
		Store: store, Models: known, ByDatagrams: onlyByDatagrams(known), Policy: policy,
		Metrics: command.NewMetrics(r), Logger: logger,
		Timeouts: command.Timeouts{Send: sendTimeout, Quarantine: c.CommandQuarantine, Gap: answerGap},
	})
	return &commands{dispatcher: dispatcher, store: store, ended: make(chan struct{})}, nil
}

// deviceTimeout is how long what keeps devices may take to say what it knows.
const deviceTimeout = time.Second

// onlyByDatagrams finds out whether a device was never connected, to any instance, and has sent datagrams. What is not
// certain is no reason to refuse a command.
func onlyByDatagrams(known *device.Memory) func(ctx context.Context, imei string) bool {
	return func(ctx context.Context, imei string) bool {
		ctx, cancel := context.WithTimeout(ctx, deviceTimeout)
		defer cancel()
		p, found, err := known.Find(ctx, imei)
		return found && err == nil && p.Claimed
	}
}

func commandPolicy(c *config.Config) (*command.Policy, error) {
	if c.CommandPolicy == "" {
		return command.DefaultPolicy(), nil
	}
	policy, err := command.LoadPolicy(c.CommandPolicy)
	if err != nil {
		return nil, invalid("COMMAND_POLICY", errors.New(fileProblem(err, "a file of rules")))
	}
	return policy, nil
}

// commandNames are the commands that have names.
func commandNames(c *config.Config) (*named.Table, error) {
	table, err := named.Load(c.CommandsFile)
	if err != nil {
		return nil, invalid("COMMANDS_FILE", errors.New(fileProblem(err, "a file of named commands")))
	}
	return table, nil
}

// start runs the dispatcher, which must be there before the first device.
func (c *commands) start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.end = cancel
	go func() {
		defer close(c.ended)
		c.dispatcher.Run(ctx)
	}()
}

// deregisterTimeout is how long the store may take to say that the devices are gone. Others find out by themselves.
const deregisterTimeout = 2 * time.Second

// stop ends the dispatcher, after the last device has gone. What is in flight is left to the store.
func (c *commands) stop(ctx context.Context, logger *slog.Logger) {
	if c.end != nil {
		c.end()
		ctx, cancel := context.WithTimeout(ctx, deregisterTimeout)
		defer cancel()
		select {
		case <-c.ended:
		case <-ctx.Done():
			logger.Warn("command store did not take its leave in time")
			return
		}
	}
	if err := c.store.Close(); err != nil {
		logger.Warn("command store not closed", "error", err)
	}
}

// startAdmin listens for what people and programs ask of devices, if ADMIN_ADDRESS is set.
func (s *service) startAdmin(ctx context.Context) error {
	if s.config.AdminAddress == "" {
		return nil
	}
	host, port, _ := net.SplitHostPort(s.config.AdminAddress) // config has looked at it
	number, _ := strconv.Atoi(port)
	listeners, err := s.sockets.TCP(ctx, forAdmin, []string{host}, number)
	if errors.Is(err, syscall.EADDRINUSE) && s.config.AdminAddress == config.DefaultAdminAddress {
		// Nobody asked for it, so that is no reason to leave devices outside.
		s.logger.Error("no admin api, its default port is taken", "error", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("ADMIN_ADDRESS: %w", err)
	}
	if err := s.mayServe(listeners); err != nil {
		return err
	}
	s.commands.address = listeners[0].Addr()
	s.pageAddress.Store(listeners[0].Addr().(*net.TCPAddr))
	options := admin.Options{
		Commands: s.commands.dispatcher, Devices: s.memory.Memory, Strangers: s.strangers, Service: s.forVerdicts,
		Overview: s.overview, Shedding: s.shedder, Dictionary: s.memory.Dictionary, Names: s.commands.names.Load,
		Tap: s.tap, Instance: s.config.InstanceID,
		Token: s.config.AdminToken, MaxConnections: httpConnections(s.config, admin.MaxConnections),
		NotHTTP: s.notHTTP(stranger.DoorAdmin), Logger: s.logger,
	}
	s.showStored(&options)
	s.commands.admin = admin.NewServer(options)
	for _, l := range listeners {
		s.logger.Info("listening", "for", forAdmin, "address", l.Addr().String())
		go func() {
			if err := s.commands.admin.Serve(l); err != nil {
				s.logger.Error("admin server failed", "error", err)
			}
		}()
	}
	return nil
}

// mayServe refuses to take commands without a token from whoever reaches the machine: a socket that the service manager
// hands over need not be at ADMIN_ADDRESS, nor a name's address where it was thought to be.
func (s *service) mayServe(listeners []net.Listener) error {
	for _, l := range listeners {
		if address := l.Addr().(*net.TCPAddr); s.config.AdminToken == "" && !address.IP.IsLoopback() {
			closeAll(listeners)
			return invalid("ADMIN_TOKEN", fmt.Errorf("not set, but the API's socket is %v, which other machines reach; "+
				"set it, or use a loopback address", address))
		}
	}
	return nil
}

// reloadNames reads COMMANDS_FILE again.
func (s *service) reloadNames() error {
	names, err := commandNames(s.config)
	if err != nil {
		s.logger.Error("named commands not reloaded", "error", err)
		return err
	}
	s.commands.names.Store(names)
	return nil
}

// reloadPolicy reads COMMAND_POLICY again.
func (s *service) reloadPolicy() error {
	policy, err := commandPolicy(s.config)
	if err != nil {
		s.logger.Error("command policy not reloaded", "error", err)
		return err
	}
	s.commands.dispatcher.SetPolicy(policy)
	return nil
}
