package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/httpserver"
)

// startPprof serves profiles on PPROF_ADDRESS, a loopback address, if it is set. It lives as long as the process.
func (s *service) startPprof(ctx context.Context) error {
	if s.config.PprofAddress == "" {
		return nil
	}
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", s.config.PprofAddress)
	if err != nil {
		return fmt.Errorf("PPROF_ADDRESS: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	s.logger.Info("listening", "for", "pprof", "address", l.Addr().String())
	server := httpserver.New(httpserver.Options{Handler: mux, MaxConnections: minHTTP, Logger: s.logger})
	go server.Serve(l)
	return nil
}
