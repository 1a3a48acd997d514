package main

import (
	"context"
	"fmt"
	"strings"
)

// alive is what the service manager's watchdog is fed on: the process answers itself over its HTTP listener, and
// the lock that every new connection takes is free. If it is not, this does not return, and the watchdog goes hungry.
// The engine has no part in it: a restart cures no engine.
func (s *service) alive(ctx context.Context) error {
	if err := askHealth(ctx, healthURL(port(s.opsAddress))); err != nil {
		return err
	}
	s.server.Connections()
	return nil
}

// status is one line on how the service is, for `systemctl status`.
func (s *service) status() string {
	ready := "ready"
	if reasons := s.notReady(); len(reasons) > 0 {
		ready = "not ready: " + strings.Join(reasons, "; ")
	}
	return fmt.Sprintf("%s, %s on %v", ready, plural(s.server.Connections(), "connection"), s.devicesAddress)
}
