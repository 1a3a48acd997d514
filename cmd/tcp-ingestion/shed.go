package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/shed"
)

const shedDescription = `Has a part of the devices leave the instance at --admin-address, so that a new one gets its
share: they come back by the balancer. Each goes between two frames, one after the other over the time of --over, and
in random order; one that has just come, or that a command is in hand for, stays. It returns at once.
Without a number it says what is going on.`

func shedCommand() *cli.Command {
	return &cli.Command{
		Name: "shed", Usage: "have some devices move to other instances", ArgsUsage: "[20% | 500]",
		Description: shedDescription,
		Flags: append([]cli.Flag{
			&cli.DurationFlag{Name: "over", Usage: "how long it takes (default CLOSE_SPREAD, or 10s)"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object"},
		}, settingFlags(adminSettings...)...),
		Action: withJSON(shedDevices),
	}
}

func shedDevices(ctx context.Context, cmd *cli.Command) error {
	part, err := parseShedPart(cmd)
	if err != nil {
		return usageError(ctx, cmd, err, true)
	}
	client, err := adminClient(cmd)
	if err != nil {
		return err
	}
	defer client.Close()
	var status shed.Status
	if cmd.Args().Present() {
		status, err = client.Shed(ctx, part)
	} else {
		status, err = client.Shedding(ctx)
	}
	if err != nil {
		return askFailed(client, err)
	}
	if cmd.Bool("json") {
		return printJSON(cmd.Root().Writer, &status)
	}
	_, err = fmt.Fprintln(cmd.Root().Writer, shedText(&status))
	return err
}

// parseShedPart reads how much is to leave: "20%" or a number of connections.
func parseShedPart(cmd *cli.Command) (p admin.ShedPart, err error) {
	switch {
	case cmd.NArg() > 1:
		return p, fmt.Errorf("%s: give one, such as 20%% or 500", plural(cmd.NArg(), "argument"))
	case cmd.NArg() == 0 && cmd.IsSet("over"):
		return p, errors.New("--over is for how much is to leave: give it, such as 20% or 500")
	case cmd.IsSet("over") && cmd.Duration("over") < time.Millisecond:
		return p, fmt.Errorf("--over %v: use 1ms or more", cmd.Duration("over"))
	case cmd.NArg() == 0:
		return p, nil
	}
	number, percent := strings.CutSuffix(cmd.Args().First(), "%")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || percent && n > 100 {
		return p, fmt.Errorf("%q: give a part of the devices, 1%% to 100%%, or a number of them", cmd.Args().First())
	}
	if p.Connections = n; percent {
		p.Connections, p.Percent = 0, n
	}
	p.OverMS = cmd.Duration("over").Milliseconds()
	return p, nil
}

func shedText(s *shed.Status) string {
	text := "nothing is being shed"
	over := time.Duration(s.OverMS) * time.Millisecond
	switch {
	case s.Running:
		text = fmt.Sprintf("%d of %d connections to leave have had their turn, within %v (%s)", s.Asked, s.Closing, over,
			s.Cause)
	case s.Cause != "":
		text = fmt.Sprintf("%s; last %d connections (%s)", text, s.Asked, s.Cause)
	}
	text += fmt.Sprintf("; %d devices are connected", s.Connections)
	if s.Above > 0 {
		text += fmt.Sprintf(", SHED_ABOVE is %d", s.Above)
	}
	return text
}
