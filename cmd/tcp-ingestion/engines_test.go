package main

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

func TestEngineWithoutAnEntryIsRefused(t *testing.T) {
	c := &config.Config{Engine: "mysql"}
	_, err := newEngine(c, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "mysql") ||
		!strings.Contains(err.Error(), "redis or embedded or jetstream") {
		t.Errorf("the error does not name it and those that are known: %v", err)
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
