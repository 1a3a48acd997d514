// Package httpserver is an HTTP server that can neither be filled up nor held up by its clients: its connections are
// bounded, those that wait go for new ones, and everything has a time.
package httpserver

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Options are the server's settings. Handler, MaxConnections and Logger are needed.
//
// NotHTTP is told of a connection whose first bytes are no request: what of them has arrived, 64 at most.
type Options struct {
	Handler        http.Handler
	MaxConnections int
	ReadTimeout    time.Duration // for a whole request; 0 if the handler bounds the bodies' time
	WriteTimeout   time.Duration // for an answer; 0 for none
	Logger         *slog.Logger
	NotHTTP        func(remote net.Addr, first []byte)
}

// For what comes before a request, and between two.
const (
	headerTimeout = 5 * time.Second
	idleTimeout   = time.Minute
	maxHeader     = 16 << 10 // bytes
)

// Server answers over HTTP.
type Server struct {
	http    http.Server
	notHTTP func(remote net.Addr, first []byte)
}

// New returns a server that listens to nobody yet.
func New(o Options) *Server {
	open := newConns(o.MaxConnections)
	s := &Server{notHTTP: o.NotHTTP, http: http.Server{
		Handler:           open.handler(o.Handler),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       o.ReadTimeout,
		WriteTimeout:      o.WriteTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnContext:       open.context,
		ConnState:         open.state,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}}
	s.http.RegisterOnShutdown(open.closeWaiting)
	return s
}

// Serve answers until Close.
func (s *Server) Serve(l net.Listener) error {
	if s.notHTTP != nil {
		l = &lookingListener{l, s.notHTTP}
	}
	if err := s.http.Serve(l); err != http.ErrServerClosed {
		return err
	}
	return nil
}

// Close finishes the requests at hand, or gives them up when ctx ends.
func (s *Server) Close(ctx context.Context) {
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
}
