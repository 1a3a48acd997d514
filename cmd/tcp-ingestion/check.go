package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
			"durability asked for, or commands cannot be kept, or the TLS certificate keeps devices out.",
		Flags:    settingFlagsWith(besideTheService),
		Commands: []*cli.Command{checkTLSCommand()},
		Action:   withoutArguments(check),
	}
}

func check(ctx context.Context, cmd *cli.Command) error {
	values := gatherSettings(cmd, besideTheService)
	c, err := inForce(values)
	if err != nil {
		return err
	}
	out := cmd.Root().Writer
	var known bytes.Buffer
	memoryErr := checkMemory(ctx, c, &known)
	if err := allInvalid(checkDoors(c), memoryErr); err != nil && startExitCode(err) == exitSettings {
		return cli.Exit(err.Error(), exitSettings)
	}
	fmt.Fprintln(out, "settings:   valid")
	for _, warning := range values.Warnings {
		fmt.Fprintln(out, "warning:   ", warning)
	}
	for name, meant := range misspeltSettings(os.Environ()) {
		fmt.Fprintf(out, "warning:    %s is no setting, did you mean %s?\n", name, meant)
	}
	certificateErr := checkCertificate(c, out)
	if _, err := logLevel(c); err != nil {
		fmt.Fprintf(out, "warning:    %v; LOG_LEVEL is in force\n", err)
	}
	known.WriteTo(out)
	if memoryErr != nil {
		return cli.Exit(memoryErr.Error(), startExitCode(memoryErr))
	}
	logger := logging.New(cmd.Root().ErrWriter, c.LogLevel, logsText(cmd, c.LogFormat))
	tried, removeTried, err := triable(c, sqlite.FileName)
	if err != nil {
		return cli.Exit(err.Error(), exitFailure)
	}
	defer removeTried()
	e, err := newEngine(withoutRetention(tried), logger)
	if err != nil {
		return cli.Exit(err.Error(), exitSettings)
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := checkAllowList(ctx, c, out); err != nil {
		return cli.Exit(err.Error(), startExitCode(err))
	}
	if tried != c && c.Engine == config.EngineEmbedded {
		fmt.Fprintf(out, "store:      no %s in DATA_DIR %s yet, the service makes it\n", sqlite.FileName, c.DataDir)
	}
	if err := checkEngine(ctx, c, e, out); err != nil {
		return err
	}
	if err := checkCommands(ctx, c, logger, out); err != nil {
		return err
	}
	return certificateErr
}

// checkDoors tries the settings that are more than values: what they name has to be there and be sound.
func checkDoors(c *config.Config) error {
	unused, silent := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	_, balancersErr := newBalancers(c, unused, silent)
	_, tlsErr := newTLS(c, unused, silent)
	_, policyErr := commandPolicy(c)
	_, hostsErr := listen.ParseHosts(c.BindAddress)
	if hostsErr != nil {
		hostsErr = invalid("BIND_ADDRESS", hostsErr)
	}
	return allInvalid(balancersErr, tlsErr, policyErr, hostsErr, checkForward(c))
}

// checkEngine prints what the engine promises and whether it would store a record now.
func checkEngine(ctx context.Context, c *config.Config, e engine.Engine, out io.Writer) error {
	entry, err := engineOf(c)
	if err != nil {
		return err
	}
	d, err := inspect(e)(ctx)
	refused := errors.Is(err, engine.ErrDurability)
	if err != nil && !refused {
		return cli.Exit(fmt.Sprintf("%s: %v", entry.where(c), err), exitFailure)
	}
	fmt.Fprintf(out, "engine:     %s\ndurability: %s (%s)\n", d.Engine, d.Class, d.Class.Word())
	for _, f := range d.Facts {
		fmt.Fprintf(out, "            %s %s\n", f.Name, cmp.Or(f.Value, "none"))
	}
	for _, w := range d.Warnings {
		fmt.Fprintln(out, "warning:   ", w)
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
			fmt.Fprintf(out, "warning:    shard %s does not store: %v\n", s.Name, s.Err)
		}
	}
	fmt.Fprintf(out, "records:    %d kept\n", status.Length)
	for _, name := range slices.Sorted(maps.Keys(status.Groups)) {
		if n := status.Groups[name].Unread; n >= 0 {
			fmt.Fprintf(out, "group:      %q has not acknowledged %d of them\n", name, n)
		}
	}
	return nil
}
