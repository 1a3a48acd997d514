package main

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
)

func devicesCommand() *cli.Command {
	return &cli.Command{
		Name:  "devices",
		Usage: "list the devices that are connected to a running server",
		Description: "Asks the server through its API at --admin-address, of several instances only that one.\n" +
			"Exit codes: 0 listed, 1 not, or the one asked for is not connected, 2 wrong usage, 69 no server answers,\n" +
			"78 wrong settings.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "imei", Usage: "only this one"},
			&cli.BoolFlag{Name: "json", Usage: "one JSON object each"},
		}, settingFlags(adminSettings...)...),
		Action: devices,
	}
}

func devices(ctx context.Context, cmd *cli.Command) error {
	if imei := cmd.String("imei"); imei != "" && !isDeviceID(imei) {
		return usageError(ctx, cmd, fmt.Errorf("--imei %q: %s", imei, useDeviceID), true)
	}
	client, err := adminClient(cmd)
	if err != nil {
		return err
	}
	defer client.Close()
	table := tabwriter.NewWriter(cmd.Root().Writer, 0, 0, 2, ' ', 0)
	show := func(d *admin.Device) error { return printDevice(table, d) }
	if cmd.Bool("json") {
		show = func(d *admin.Device) error { return printJSON(cmd.Root().Writer, d) }
	} else {
		fmt.Fprintln(table, "IMEI\tSINCE\tREMOTE\tTRANSPORT\tCODEC\tFRAMES\tRECORDS\tLAST SEEN\tMODEL")
	}
	found := false
	for d, err := range client.Devices(ctx, cmd.String("imei")) {
		if err != nil {
			return askFailed(client, err)
		}
		if err := show(&d); err != nil {
			return cli.Exit(err.Error(), exitFailure)
		}
		found = true
	}
	if imei := cmd.String("imei"); imei != "" && !found {
		return cli.Exit(fmt.Sprintf("%s is not connected to %s", imei, client.URL()), exitFailure)
	}
	if err := table.Flush(); err != nil {
		return cli.Exit(err.Error(), exitFailure)
	}
	return nil
}

func printDevice(table *tabwriter.Writer, d *admin.Device) error {
	_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\n",
		d.IMEI, d.Since.Format(time.RFC3339), d.Remote, d.Transport, known(d.Codec), d.Frames, d.Records,
		d.LastSeen.Format(time.RFC3339), known(d.Model))
	return err
}

// known keeps the columns in place.
func known(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
