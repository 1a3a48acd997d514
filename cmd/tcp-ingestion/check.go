package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"
)

// checkTimeout is how long the engine may take to answer.
const checkTimeout = 10 * time.Second

func checkCommand() *cli.Command {
	return &cli.Command{
		Name:        "check",
		Usage:       "validate the settings and say how durable the engine is",
		Description: "Exit codes: 0 all right, 78 wrong settings, 1 the engine cannot be used.",
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
	e, err := newEngine(c, logger)
	if err != nil {
		return cli.Exit(err.Error(), exitSettings)
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	d, err := e.Inspect(ctx)
	if err != nil {
		return cli.Exit(fmt.Sprintf("engine %s: %v", c.Engine, err), exitFailure)
	}
	fmt.Fprintf(out, "engine:     %s\ndurability: %s\n", d.Engine, d.Class)
	for _, w := range d.Warnings {
		fmt.Fprintln(out, "warning:   ", w)
	}
	status, err := e.Probe(ctx)
	if err != nil {
		return cli.Exit(fmt.Sprintf("engine %s does not store: %v", c.Engine, err), exitFailure)
	}
	fmt.Fprintf(out, "records:    %d kept\n", status.Length)
	return nil
}
