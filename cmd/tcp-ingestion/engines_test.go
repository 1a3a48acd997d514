package main

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

// An engine that somebody adds to the settings and not to the table got SQLite's commands.
func TestEngineWithoutAnEntryIsRefused(t *testing.T) {
	c := &config.Config{Engine: "postgres"}
	_, engineErr := newEngine(c, slog.New(slog.DiscardHandler))
	_, commandsErr := newCommands(c, nil, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	for _, err := range []error{engineErr, commandsErr} {
		if err == nil || !strings.Contains(err.Error(), "postgres") || !strings.Contains(err.Error(), "redis or embedded") {
			t.Errorf("the error does not name it and those that are known: %v", err)
		}
	}
}

func TestEveryEngineHasAnEntry(t *testing.T) {
	var named []string
	for _, e := range engines {
		named = append(named, e.name)
		for _, name := range e.settings {
			if !slices.ContainsFunc(config.Settings, func(s config.Setting) bool { return s.Name == name }) {
				t.Errorf("%s: there is no setting %s", e.name, name)
			}
		}
	}
	if !slices.Equal(named, config.Engines) {
		t.Errorf("the table has %v, the settings know %v", named, config.Engines)
	}
}
