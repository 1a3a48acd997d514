package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/authority"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/teltonikasession"
)

// newAllowList makes the configured list of known devices, nil if all devices are. Its source need not be reachable.
func newAllowList(c *config.Config, r prometheus.Registerer, logger *slog.Logger) (*authority.List, error) {
	var source authority.Source
	switch c.DeviceAuthorityMode {
	case config.AuthorityAllowAll:
		return nil, nil
	case config.AuthorityFileList:
		source = authority.NewFile(c.DeviceAllowList)
	case config.AuthorityRedisList:
		list, err := authority.NewRedis(c.AllowListURL(), c.DeviceAllowList, "tcp-ingestion-"+c.InstanceID)
		if err != nil {
			return nil, fmt.Errorf("the Redis of DEVICE_ALLOW_LIST: %w", err)
		}
		source = list
	default:
		return nil, fmt.Errorf("DEVICE_AUTHORITY_MODE: %q is not known", c.DeviceAuthorityMode)
	}
	return authority.NewList(authority.Options{
		Source: source, Strict: c.StrictDeviceAuth, Refresh: c.DeviceAllowListRefresh,
		Metrics: authority.NewMetrics(r), Logger: logger,
	}), nil
}

// authority is what the logins ask.
func (s *service) authority() teltonikasession.Authority {
	if s.allowList == nil {
		return authority.AllowAll{}
	}
	return s.allowList
}

// startAllowList reads the list, if there is one, and keeps it fresh until watch ends. It returns when devices can be
// told apart, or ctx ends.
func (s *service) startAllowList(ctx, watch context.Context) error {
	if s.allowList == nil {
		if s.config.StrictDeviceAuth {
			s.logger.Warn("strict device auth without an allow-list, no device is refused")
		}
		return nil
	}
	if s.config.StrictDeviceAuth {
		s.allowList.Refreshed = s.revoke
	}
	if err := s.allowList.Start(ctx); err != nil {
		return explainAllowList(err)
	}
	s.onReload("DEVICE_ALLOW_LIST", func() error {
		s.allowList.Reload() // which says later how it went
		return nil
	})
	s.background(func() { s.allowList.Run(watch) })
	return nil
}

// revoke disconnects the devices that are no longer on the list.
func (s *service) revoke(ctx context.Context) {
	if n := s.server.Revoke(ctx, s.allowList.Known); n > 0 {
		s.logger.Warn("devices disconnected, they are no longer on the allow-list", "devices", n)
	}
}

// explainAllowList adds to an error of List.Start what to do.
func explainAllowList(err error) error {
	switch {
	case errors.Is(err, authority.ErrEmpty):
		return fmt.Errorf("DEVICE_ALLOW_LIST: %w, and with STRICT_DEVICE_AUTH every device would be refused; "+
			"fill it, correct DEVICE_ALLOW_LIST, or set STRICT_DEVICE_AUTH=false", err)
	case errors.Is(err, authority.ErrMissing):
		return fmt.Errorf("DEVICE_ALLOW_LIST: %w, and with STRICT_DEVICE_AUTH every device would be refused; "+
			"create it, one IMEI a line, correct DEVICE_ALLOW_LIST, or set STRICT_DEVICE_AUTH=false", err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("stopped before the allow-list could be read: %w", err)
	}
	return fmt.Errorf("DEVICE_ALLOW_LIST: %w; it must be readable for the list to be known", err)
}

// startExitCode is the exit code for an error of service.start.
func startExitCode(err error) int {
	var wrong *config.Error
	switch {
	case errors.Is(err, authority.ErrEmpty), errors.Is(err, authority.ErrMissing), errors.As(err, &wrong):
		return exitSettings
	case errors.Is(err, context.Canceled):
		return exitOK
	}
	return exitFailure
}

// checkAllowList reads the list once and says how many devices it has.
func checkAllowList(ctx context.Context, c *config.Config, r *checkReport) error {
	list, err := newAllowList(c, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	if list == nil {
		r.fact("devices", "all are known")
		return nil
	}
	defer list.Source.Close()
	if err := list.Check(ctx); err != nil {
		return explainAllowList(err)
	}
	r.fact("devices", fmt.Sprintf("%d known, %v", list.Len(), list.Source))
	return nil
}
