package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// checkTimeout is how long the engine may take to answer.
const checkTimeout = 10 * time.Second

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:        "check",
		Usage:       "validate the settings and say how durable the engine is",
		Description: "Exit codes: 0 all right, 78 wrong settings, 1 the engine cannot be used, or not at the durability asked for.",
		Flags:       settingFlags(),
		Action:      check,
	}
}

func check(ctx context.Context, cmd *cli.Command) error {
	c, err := loadSettings(cmd, nil)
	if err != nil {
		return err
	}
	out := cmd.Root().Writer
	fmt.Fprintln(out, "settings:   valid")
	logger, _ := newLogger(cmd, c)
	e, err := newEngine(withoutRetention(c), logger)
	if err != nil {
		return cli.Exit(err.Error(), exitSettings)
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := checkAllowList(ctx, c, out); err != nil {
		return cli.Exit(err.Error(), startExitCode(err))
	}
	return checkEngine(ctx, c, e, out)
}

// checkEngine prints what the engine promises and whether it would store a record now.
func checkEngine(ctx context.Context, c *config.Config, e engine.Engine, out io.Writer) error {
	d, err := e.Inspect(ctx)
	refused := errors.Is(err, engine.ErrDurability)
	if err != nil && !refused {
		return cli.Exit(fmt.Sprintf("engine %s: %v", c.Engine, err), exitFailure)
	}
	fmt.Fprintf(out, "engine:     %s\ndurability: %s (%s)\n", d.Engine, d.Class, d.Class.Word())
	for _, f := range d.Facts {
		fmt.Fprintf(out, "            %s %s\n", f.Name, cmp.Or(f.Value, "none"))
	}
	for _, w := range d.Warnings {
		fmt.Fprintln(out, "warning:   ", w)
	}
	if refused {
		return cli.Exit(durabilityRefused(c, err), exitFailure)
	}
	status, err := e.Probe(ctx)
	if err != nil {
		return cli.Exit(fmt.Sprintf("engine %s does not store: %v", c.Engine, err), exitFailure)
	}
	fmt.Fprintf(out, "records:    %d kept\n", status.Length)
	for _, name := range slices.Sorted(maps.Keys(status.Groups)) {
		if n := status.Groups[name].Unread; n >= 0 {
			fmt.Fprintf(out, "group:      %q has not acknowledged %d of them\n", name, n)
		}
	}
	return nil
}
