package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v3"
)

func tailCommand() *cli.Command {
	return &cli.Command{
		Name:  "tail",
		Usage: "follow the published records as JSON lines",
		Description: "Needs the same engine settings as the server. Runs until Ctrl-C.\n" +
			"Exit codes: 0 ended or enough, 1 the engine cannot be read, 2 wrong usage, 78 wrong settings.",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "from-start", Usage: "begin with the oldest record kept instead of the next one"},
			&cli.IntFlag{Name: "count", Usage: "end after so many records (0: never)"},
		}, settingFlags(engineSettings...)...),
		Action: tail,
	}
}

var errEnough = errors.New("enough records")

func tail(ctx context.Context, cmd *cli.Command) error {
	if cmd.Int("count") < 0 {
		return cli.Exit("--count: use 0 or more", exitUsage)
	}
	_, e, _, err := openEngine(cmd)
	if err != nil {
		return err
	}
	defer e.Close()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	shown, wanted := 0, cmd.Int("count")
	err = e.Tail(ctx, cmd.Bool("from-start"), func(payload []byte) error {
		if _, err := fmt.Fprintf(cmd.Root().Writer, "%s\n", payload); err != nil {
			return err
		}
		if shown++; shown == wanted {
			return errEnough
		}
		return nil
	})
	if err == nil || errors.Is(err, errEnough) || ctx.Err() != nil {
		return nil
	}
	return cli.Exit(err.Error(), exitFailure)
}
