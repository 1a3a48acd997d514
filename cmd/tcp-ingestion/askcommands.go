package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

const commandsDescription = `Asks a running server through its API at --admin-address. With a control Redis any instance
knows the commands of all. ID is the first column of list, and what send says.
With --json standard output has one object for each command or, if something is wrong, one with "error" and
"exit_code".
Exit codes: 0 done, 1 not, as standard error says, 2 wrong usage, 14 it was sent already and cannot be taken back,
69 no server answers, 78 wrong settings.`

func commandsCommand() *cli.Command {
	sub := func(name, usage, args string, action commandsAction, flags ...cli.Flag) *cli.Command {
		flags = append(flags, &cli.BoolFlag{Name: "json", Usage: "all that is known, one JSON object each"})
		return &cli.Command{
			Name: name, Usage: usage, ArgsUsage: args, Action: withJSON(onCommands(action)), OnUsageError: usageError,
			Flags: append(flags, settingFlags(adminSettings...)...),
		}
	}
	return &cli.Command{
		Name:        "commands",
		Usage:       "list, show and take back what devices were asked",
		Description: commandsDescription,
		Commands: []*cli.Command{
			sub("list", "one line each, the newest first", "[IMEI]", listCommands,
				&cli.BoolFlag{Name: "open", Usage: "only those that are queued or sent"},
				&cli.IntFlag{Name: "limit", Value: defaultListed, Usage: "so many at the most (0: all)"}),
			sub("show", "what has become of a command", "ID", showCommand),
			sub("names", "the commands that have names, for send --NAME", " ", listNames,
				&cli.StringFlag{Name: "family", Usage: "only those of this family: " + familyNames()}),
			sub("cancel", "take back a command that is not sent yet", "ID", cancelCommand),
		},
		Action: func(_ context.Context, cmd *cli.Command) error {
			if name := cmd.Args().First(); name != "" {
				return unknownCommand(cmd, name)
			}
			cli.ShowSubcommandHelp(cmd)
			return cli.Exit("", exitUsage)
		},
	}
}

// defaultListed is how many commands list shows if it is not said.
const defaultListed = 50

type commandsAction func(context.Context, *cli.Command, *admin.Client) error

// onCommands has an action ask the server.
func onCommands(action commandsAction) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		if cmd.Name == "names" && cmd.Args().Len() > 0 {
			return usageError(ctx, cmd, errors.New("give no arguments"), true)
		}
		if n, most := cmd.Args().Len(), 1; n > most || n == 0 && cmd.Name != "list" && cmd.Name != "names" {
			return usageError(ctx, cmd, fmt.Errorf("%s: give one %s", plural(n, "argument"), cmd.ArgsUsage), true)
		}
		client, err := adminClient(cmd)
		if err != nil {
			return err
		}
		defer client.Close()
		return action(ctx, cmd, client)
	}
}

func listCommands(ctx context.Context, cmd *cli.Command, client *admin.Client) error {
	imei, limit := cmd.Args().First(), cmd.Int("limit")
	switch {
	case imei != "" && !isDeviceID(imei):
		return usageError(ctx, cmd, fmt.Errorf("IMEI %q: %s", imei, useDeviceID), true)
	case limit < 0:
		return usageError(ctx, cmd, fmt.Errorf("--limit %d: use 0 or more", limit), true)
	}
	table := newCommandTable(cmd)
	for cursor, left := "", limit; limit == 0 || left > 0; {
		page := command.MaxPage
		if limit > 0 {
			page = min(left, page)
		}
		list, err := client.Commands(ctx, imei, cmd.Bool("open"), cursor, page)
		if err != nil {
			return askFailed(client, err)
		}
		for _, e := range list.Commands {
			if err := table.show(e); err != nil {
				return cli.Exit(err.Error(), exitFailure)
			}
		}
		left -= len(list.Commands)
		if cursor = list.Next; cursor == "" {
			break
		}
	}
	return table.Flush()
}

// commandTable shows commands, a line each.
type commandTable struct {
	*tabwriter.Writer
	cmd *cli.Command
}

func newCommandTable(cmd *cli.Command) commandTable {
	t := commandTable{tabwriter.NewWriter(cmd.Root().Writer, 0, 0, 2, ' ', 0), cmd}
	if !cmd.Bool("json") {
		fmt.Fprintln(t, "ID\tIMEI\tSTATE\tCREATED\tEXPIRES\tCOMMAND")
	}
	return t
}

func (t commandTable) show(e *admin.Entry) error {
	if t.cmd.Bool("json") {
		return printJSON(t.cmd.Root().Writer, e)
	}
	state := string(e.State)
	if e.WaitsFor != "" {
		state += ", waits for " + e.WaitsFor
	}
	_, err := fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, e.IMEI, state,
		e.CreatedAt.Format(time.RFC3339), e.ExpiresAt.Format(time.RFC3339), shortCommand(e))
	return err
}

// shortCommand is what was asked, quoted if it is not a plain word of a line.
func shortCommand(e *admin.Entry) string {
	const most = 40
	text := e.Payload
	if e.Encoding == command.Hex {
		text = "hex " + text
	}
	if len(text) > most {
		text = text[:most-1] + "…"
	}
	return fmt.Sprintf("%q", text)
}

func showCommand(ctx context.Context, cmd *cli.Command, client *admin.Client) error {
	e, err := client.Command(ctx, "", cmd.Args().First(), 0)
	if err != nil {
		return commandFailed(client, err, cmd.Args().First())
	}
	return printCommand(cmd, &e)
}

func cancelCommand(ctx context.Context, cmd *cli.Command, client *admin.Client) error {
	e, err := client.Cancel(ctx, "", cmd.Args().First())
	var p *admin.Problem
	switch {
	case err == nil:
		return printCommand(cmd, &e)
	case !errors.As(err, &p) || p.Entry == nil:
		return commandFailed(client, err, cmd.Args().First())
	}
	code := exitFailure
	if p.Entry.State == command.Sent {
		code = exitNoResult
	}
	return &refusal{p, stateText(p.Entry) + "; it was not taken back", code}
}

// commandFailed says why there is no command to show.
func commandFailed(client *admin.Client, err error, id string) error {
	var p *admin.Problem
	if errors.As(err, &p) && p.Status == 404 {
		return &refusal{p, fmt.Sprintf("%s knows no command %s, or not any more", client.URL(), id), exitFailure}
	}
	return askFailed(client, err)
}

// printCommand prints all that is known of a command.
func printCommand(cmd *cli.Command, e *admin.Entry) error {
	if cmd.Bool("json") {
		return printJSON(cmd.Root().Writer, e)
	}
	t := tabwriter.NewWriter(cmd.Root().Writer, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, value)
		}
	}
	moment := func(name string, at admin.Time) {
		if !at.IsZero() {
			line(name, at.Format(time.RFC3339Nano))
		}
	}
	line("id", e.ID)
	line("device", e.IMEI)
	line("command", fmt.Sprintf("%q (%s, codec %d)", e.Payload, e.Encoding, e.Codec))
	line("only if", e.OnlyIf)
	line("not plain", e.NotPlain)
	line("state", string(e.State))
	line("waits for", e.WaitsFor)
	line("reason", e.Reason)
	moment("created", e.CreatedAt)
	moment("expires", e.ExpiresAt)
	moment("sent", e.SentAt)
	line("attempts", fmt.Sprint(e.Attempts))
	moment("finished", e.FinishedAt)
	line("instance", e.Instance)
	if e.Response != nil {
		line("answer", fmt.Sprintf("%q", *e.Response))
	}
	line("answer in hex", e.ResponseHex)
	return t.Flush()
}
