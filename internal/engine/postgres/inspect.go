package postgres

import (
	"context"
	"fmt"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// asked are the settings from which the class is concluded.
var asked = []string{"synchronous_commit", "fsync", "full_page_writes", "synchronous_standby_names"}

// Inspect asks the server for its settings, as they are for this user's connections.
func (e *Engine) Inspect(ctx context.Context) (engine.Durability, error) {
	ctx, cancel := context.WithTimeout(ctx, e.patience)
	defer cancel()
	var version, standbys string
	var recovering bool
	values := make([]string, len(asked))
	err := e.pool.QueryRow(ctx, `SELECT current_setting('server_version'), pg_is_in_recovery(), current_setting($1),
		current_setting($2), current_setting($3), current_setting($4),
		(SELECT count(*) FROM pg_stat_replication)::text`, asked[0], asked[1], asked[2], asked[3]).
		Scan(&version, &recovering, &values[0], &values[1], &values[2], &values[3], &standbys)
	if err != nil {
		return engine.Durability{}, classify(err)
	}
	d := engine.Durability{Engine: "postgres " + version, Class: classOf(values)}
	for i, name := range asked {
		d.Facts = append(d.Facts, engine.Fact{Name: name, Value: values[i]})
	}
	d.Facts = append(d.Facts, engine.Fact{Name: "standbys", Value: standbys},
		engine.Fact{Name: "in_recovery", Value: fmt.Sprint(recovering)})
	if values[1] != "on" {
		d.Warnings = append(d.Warnings, "fsync is off: a crash of the server's machine can destroy the database; "+
			"set fsync to on")
	}
	if values[2] != "on" {
		d.Warnings = append(d.Warnings, "full_page_writes is off: a loss of power can leave pages half written; "+
			"set it to on unless the file system prevents that")
	}
	if err := e.opt.Durability.check(values[0], values[3]); err != nil {
		return d, err
	}
	return d, nil
}

// classOf concludes from the settings in the order of asked.
func classOf(values []string) engine.Class {
	commit, fsync, standbys := values[0], values[1], values[3]
	switch {
	case standbys != "" && (commit == "on" || commit == "remote_apply"):
		return engine.Replicated
	case fsync != "on":
		return engine.MemoryOnly
	case commit == "off":
		return engine.OneSecond
	}
	return engine.Fsynced
}
