package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/format"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/forward"
)

// sinkEntry is all that differs from sink to sink.
type sinkEntry struct {
	schemes  []string // of FORWARD_TO
	settings []string // its own

	// open makes the sink, which need not be reachable. Its error names the settings that are wrong.
	open func(*sinkOptions) (forward.Sink, error)
}

// sinkOptions are what a sink is made of.
type sinkOptions struct {
	config   *config.Config
	out      io.Writer // standard output
	refuse   forward.Refuse
	registry prometheus.Registerer
	logger   *slog.Logger
}

// sinks are those that FORWARD_TO may name.
var sinks = []sinkEntry{
	{schemes: []string{"-"}, open: func(o *sinkOptions) (forward.Sink, error) { return &forward.Lines{To: o.out}, nil }},
	{schemes: []string{"file"}, settings: []string{"FORWARD_FILE_BYTES", "FORWARD_FILE_AGE"}, open: openFiles},
	{schemes: []string{"https", "http"}, settings: append(httpSinkSettings, sinkTLSSettings...), open: openHTTPSink},
	{schemes: []string{"mqtts", "mqtt"}, settings: mqttSinkSettings, open: openMQTTSink},
}

// forwardSettings are those of the command forward, without the engine's.
var forwardSettings = func() []string {
	names := []string{
		"INSTANCE_ID", "METRICS_PORT", "DRAIN_TIMEOUT_MS", "DEAD_LETTER_MAX_BYTES", "FORWARD_TO", "FORWARD_GROUP",
		"FORWARD_FORMAT", "FORWARD_DEVICES", "FORWARD_FAMILIES", "FORWARD_SIGNALS", "FORWARD_BATCH_RECORDS",
		"FORWARD_BATCH_BYTES", "FORWARD_BATCH_WAIT", "FORWARD_REFUSED_FILE",
	}
	for _, s := range sinks {
		names = append(names, s.settings...)
	}
	return names
}()

// openSink makes the sink that FORWARD_TO names.
func openSink(o *sinkOptions) (forward.Sink, error) {
	if o.config.Forward.To == "" {
		return nil, invalid("FORWARD_TO", fmt.Errorf("not set; set it to where records go, such as %s", sinkExamples))
	}
	var known []string
	for _, s := range sinks {
		for _, scheme := range s.schemes {
			if scheme == o.config.Forward.Scheme() {
				return s.open(o)
			}
			known = append(known, scheme)
		}
	}
	return nil, invalid("FORWARD_TO", fmt.Errorf("nothing delivers to %q; use %s", o.config.Forward.Scheme(),
		strings.Join(known, ", ")))
}

const sinkExamples = "https://host/path, mqtts://host, file:/var/lib/records, or - for standard output"

func openFiles(o *sinkOptions) (forward.Sink, error) {
	f := &o.config.Forward
	dir := strings.TrimPrefix(strings.TrimPrefix(f.To, "file:"), "//")
	s, err := forward.NewFiles(forward.FilesOptions{
		Dir: filepath.Clean(dir), Prefix: f.Group, MaxBytes: f.FileBytes, MaxAge: f.FileAge, Logger: o.logger,
	})
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.ENOTDIR):
		return nil, invalid("FORWARD_TO", fmt.Errorf("%w; give this user a directory that it may write", err))
	case err != nil:
		return nil, fmt.Errorf("FORWARD_TO: %w: %w", errMayPass, err)
	}
	return s, nil
}

// forwardFormat is the form in which records are delivered.
func forwardFormat(c *config.Config) (format.Format, error) {
	if f := forward.FormatNamed(c.Forward.Format); f != nil {
		return f, nil
	}
	return nil, invalid("FORWARD_FORMAT", fmt.Errorf("%q: use one of %s", c.Forward.Format, formatNames))
}

// checkForward tries the settings of the command forward, if they name a target. It makes no directory.
func checkForward(c *config.Config) error {
	if c.Forward.To == "" {
		return nil
	}
	_, formatErr := forwardFormat(c)
	if c.Forward.Scheme() == "file" {
		return formatErr
	}
	silent := slog.New(slog.DiscardHandler)
	unused := &forward.Refused{Metrics: forward.NewMetrics(nil), Logger: silent}
	sink, sinkErr := openSink(&sinkOptions{
		config: c, out: io.Discard, refuse: unused.Put, registry: prometheus.NewRegistry(), logger: silent,
	})
	if sinkErr == nil {
		_ = sink.Close() // it has connected to nobody
	}
	return allInvalid(formatErr, sinkErr)
}
