package config

import (
	"strings"
	"testing"
	"time"
)

func TestPostgresSettings(t *testing.T) {
	const url = "postgresql://u:p%40ss@one:5432,two:5433/db?target_session_attrs=read-write"
	c, err := Load(from(map[string]string{
		"ENGINE": "postgres", "POSTGRES_URL": url, "POSTGRES_DURABILITY": "replica", "POSTGRES_RETENTION": "48h",
	}))
	if err != nil {
		t.Fatal(err)
	}
	if c.Engine != EnginePostgres || c.PostgresURL != url || c.PostgresDurability != "replica" ||
		c.PostgresRetention != 48*time.Hour {
		t.Errorf("%+v", c)
	}
}

func TestWrongPostgresSettings(t *testing.T) {
	for _, url := range []string{"", "mysql://u:secret@h/db", "host=h password=secret", "postgres://", "postgres:///db"} {
		_, err := Load(from(map[string]string{"ENGINE": "postgres", "POSTGRES_URL": url}))
		if err == nil || !strings.Contains(err.Error(), "POSTGRES_URL") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", url, err)
		}
	}
	_, err := Load(from(map[string]string{"POSTGRES_DURABILITY": "off", "POSTGRES_RETENTION": "1ns"}))
	for _, name := range []string{"POSTGRES_DURABILITY", "POSTGRES_RETENTION"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not named in: %v", name, err)
		}
	}
}
