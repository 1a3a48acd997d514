package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
)

func devicesCommand() *cli.Command {
	return &cli.Command{
		Name:  "devices",
		Usage: "list the devices of a running server, and of the other instances that share its control Redis",
		Description: "Asks the server through its API at --admin-address. Without --state those that are connected.\n" +
			"Exit codes: 0 listed, 1 not, or the one asked for is not in that state, 2 wrong usage,\n" +
			"69 no server answers, 78 wrong settings.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "imei", Usage: "only this one"},
			&cli.StringFlag{Name: "state", Usage: "connected, gone or all", Value: string(device.StateConnected)},
			&cli.BoolFlag{Name: "all", Usage: "the same as --state all"},
			&cli.BoolFlag{Name: "watch",
				Usage: "go on, and show each that connects, goes or moves, until Ctrl-C or the server stops"},
			&cli.BoolFlag{Name: "json", Usage: "one JSON object each"},
		}, settingFlags(adminSettings...)...),
		Action: devices,
	}
}

func devices(ctx context.Context, cmd *cli.Command) error {
	imei := cmd.String("imei")
	if imei != "" && !isDeviceID(imei) {
		return usageError(ctx, cmd, fmt.Errorf("--imei %q: %s", imei, useDeviceID), true)
	}
	state, err := stateOf(cmd)
	if err != nil {
		return usageError(ctx, cmd, err, true)
	}
	client, err := adminClient(cmd)
	if err != nil {
		return err
	}
	defer client.Close()
	list := deviceList{cmd: cmd, client: client, imei: imei, state: state}
	if cmd.Bool("watch") {
		return list.watch(ctx)
	}
	return list.show(ctx)
}

// deviceList is what is asked for, of whom.
type deviceList struct {
	cmd    *cli.Command
	client *admin.Client
	imei   string // empty: all
	state  device.State
}

func (l *deviceList) show(ctx context.Context) error {
	found, table := false, l.newTable(true)
	incomplete, err := l.each(ctx, func(p *device.Presence) error {
		found = true
		return table.print(p)
	})
	if err == nil {
		err = table.Flush()
	}
	switch {
	case err != nil:
		return err
	case incomplete != "":
		return cli.Exit(terminal.Line(string(incomplete)), exitFailure)
	case l.imei != "" && !found:
		return cli.Exit(notInState(l.imei, l.state, l.client.URL()), exitFailure)
	}
	return nil
}

// each calls fn with the devices. incomplete says why those of other instances are missing, if they are.
func (l *deviceList) each(
	ctx context.Context, fn func(*device.Presence) error,
) (incomplete admin.Incomplete, err error) {
	for p, err := range l.client.Devices(ctx, l.imei, l.state) {
		switch {
		case errors.As(err, &incomplete):
			return incomplete, nil // it is the last one
		case err != nil:
			return "", askFailed(l.client, err)
		}
		if err := fn(&p); err != nil {
			return "", err
		}
	}
	return "", nil
}

// deviceTable shows devices: a line each or, with --json, an object.
type deviceTable struct {
	*tabwriter.Writer
	cmd *cli.Command
}

func (l *deviceList) newTable(titled bool) deviceTable {
	t := deviceTable{tabwriter.NewWriter(l.cmd.Root().Writer, 0, 0, 2, ' ', 0), l.cmd}
	if titled && !l.cmd.Bool("json") {
		fmt.Fprintln(t, "IMEI\tSTATE\tINSTANCE\tSINCE\tREMOTE\tTRANSPORT\tCODEC\tFRAMES\tRECORDS\tLAST SEEN\tMODEL")
	}
	return t
}

func (t deviceTable) print(p *device.Presence) error {
	if t.cmd.Bool("json") {
		return printJSON(t.cmd.Root().Writer, p)
	}
	return printDevice(t.Writer, p)
}

// stateOf is which devices are asked for.
func stateOf(cmd *cli.Command) (device.State, error) {
	if cmd.Bool("all") {
		return device.StateAll, nil
	}
	switch s := device.State(cmd.String("state")); s {
	case device.StateAll, device.StateConnected, device.StateGone:
		return s, nil
	default:
		return s, fmt.Errorf("--state %q: use connected, gone or all", s)
	}
}

func notInState(imei string, state device.State, server string) string {
	if state == device.StateAll {
		return fmt.Sprintf("%s was never seen by %s", imei, server)
	}
	return fmt.Sprintf("%s is not %s, asked of %s; try --all", imei, state, server)
}

func printDevice(table *tabwriter.Writer, p *device.Presence) error {
	_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n", terminal.Line(p.IMEI), shownState(p),
		known(p.Instance), shownTime(p.ConnectedAt), known(p.Address), known(p.Transport), known(p.Codec), p.Frames,
		p.Records, shownTime(p.LastSeen), known(p.Model))
	return err
}

// shownState is what a device is doing, or why it is not there.
func shownState(p *device.Presence) string {
	switch {
	case p.Connected:
		return "connected"
	case !p.InstanceLost.IsZero():
		return "instance lost"
	case p.CloseReason != "":
		return terminal.Line(p.CloseReason)
	case p.Login.Answer == device.LoginRejected:
		return "login " + device.LoginRejected
	}
	return "gone"
}

func shownTime(t device.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// known keeps the columns in place.
func known(text string) string {
	if text == "" {
		return "-"
	}
	return terminal.Line(text)
}
