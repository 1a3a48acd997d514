package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/sqlite"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/transport/listen"
)

// checkTimeout is how long the engine may take to answer.
const checkTimeout = 10 * time.Second

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "validate the settings and say how durable the engine is; check tls looks at a server as a device does",
		Description: "Exit codes: 0 all right, 78 wrong settings, 1 the engine cannot be used, or not at the\n" +
			"durability asked for, or commands cannot be kept, or the TLS certificate keeps devices out.\n" +
			"With --json they are in the object, too.",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object: facts, what is wrong, what to do", Local: true},
		}, settingFlagsWith(besideTheService)...),
		Commands: []*cli.Command{checkTLSCommand()},
		Action: withoutArguments(func(ctx context.Context, cmd *cli.Command) error {
			r := newCheckReport(cmd)
			return r.end(cmd.Root().Writer, check(ctx, cmd, r))
		}),
	}
}

func check(ctx context.Context, cmd *cli.Command, r *checkReport) error {
	c, err := inForce(r.values)
	if err != nil {
		return err
	}
	r.result.Engine = c.Engine
	memoryErr := checkMemory(ctx, c, r)
	if err := allInvalid(checkDoors(c), memoryErr); err != nil && startExitCode(err) == exitSettings {
		return cli.Exit(err, exitSettings)
	}
	r.fact("settings", "valid")
	r.fact("stop", fmt.Sprintf("takes %v at most, a service manager has to wait longer "+
		"(terminationGracePeriodSeconds, --stop-timeout)", c.StopTime()))
	r.warnOfSettings(c)
	certificateErr := checkCertificate(c, r)
	if memoryErr != nil {
		return cli.Exit(memoryErr, startExitCode(memoryErr))
	}
	logger := logging.New(cmd.Root().ErrWriter, c.LogLevel, logsText(cmd, c.LogFormat))
	tried, removeTried, err := triable(c, sqlite.FileName)
	if err != nil {
		return cli.Exit(err.Error(), exitFailure)
	}
	defer removeTried()
	e, err := newEngine(withoutRetention(tried), logger)
	if err != nil {
		return cli.Exit(err, exitSettings)
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := checkAllowList(ctx, c, r); err != nil {
		return cli.Exit(err, startExitCode(err))
	}
	if tried != c && c.Engine == config.EngineEmbedded {
		r.fact("store", fmt.Sprintf("no %s in DATA_DIR %s yet, the service makes it", sqlite.FileName, c.DataDir))
	}
	if err := checkEngine(ctx, c, e, r); err != nil {
		return err
	}
	if err := checkCommands(ctx, c, logger, r); err != nil {
		return err
	}
	return certificateErr
}

// warnOfSettings tells what is odd about how they are set.
func (r *checkReport) warnOfSettings(c *config.Config) {
	for _, warning := range r.values.Warnings {
		r.warn(warning)
	}
	for name, meant := range misspeltSettings(os.Environ()) {
		r.warn(fmt.Sprintf("%s is no setting, did you mean %s?", name, meant))
	}
	if _, err := logLevel(c); err != nil {
		r.warn(fmt.Sprintf("%v; LOG_LEVEL is in force", err))
	}
}

// checkDoors tries the settings that are more than values: what they name has to be there and be sound.
func checkDoors(c *config.Config) error {
	unused, silent := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	_, balancersErr := newBalancers(c, unused, silent)
	_, tlsErr := newTLS(c, unused, silent)
	_, policyErr := commandPolicy(c)
	_, namesErr := commandNames(c)
	_, hostsErr := listen.ParseHosts(c.BindAddress)
	if hostsErr != nil {
		hostsErr = invalid("BIND_ADDRESS", hostsErr)
	}
	return allInvalid(balancersErr, tlsErr, policyErr, namesErr, hostsErr, checkForward(c))
}

// checkEngine tells what the engine promises and whether it would store a record now.
func checkEngine(ctx context.Context, c *config.Config, e engine.Engine, r *checkReport) error {
	entry, err := engineOf(c)
	if err != nil {
		return err
	}
	d, err := inspect(e)(ctx)
	refused := errors.Is(err, engine.ErrDurability)
	if err != nil && !refused {
		return cli.Exit(fmt.Sprintf("%s: %v", entry.where(c), err), exitFailure)
	}
	r.result.Durability = d.Class.Word()
	r.fact("engine", d.Engine)
	r.fact("durability", fmt.Sprintf("%s (%s)", d.Class, d.Class.Word()))
	for _, f := range d.Facts {
		r.below(f.Name, cmp.Or(f.Value, "none"))
	}
	for _, w := range d.Warnings {
		r.warn(w)
	}
	if refused {
		return cli.Exit(fmt.Sprintf("%s: %v", entry.durability(c), err), exitFailure)
	}
	status, err := e.Probe(ctx)
	if err != nil {
		return cli.Exit(fmt.Sprintf("%s does not store: %v", entry.where(c), err), exitFailure)
	}
	for _, s := range status.Shards {
		if s.Err != nil {
			r.warn(fmt.Sprintf("shard %s does not store: %v", s.Name, s.Err))
		}
	}
	r.fact("records", fmt.Sprintf("%d kept", status.Length))
	for _, name := range slices.Sorted(maps.Keys(status.Groups)) {
		if n := status.Groups[name].Unread; n >= 0 {
			r.fact("group", fmt.Sprintf("%q has not acknowledged %d of them", name, n))
		}
	}
	return nil
}
