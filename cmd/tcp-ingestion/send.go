package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
)

func sendCommand() *cli.Command {
	return &cli.Command{
		Name:      "send",
		Usage:     "send a command to a device and print its answer",
		ArgsUsage: "IMEI 'COMMAND'",
		Description: "Asks a running server through its API at --admin-address. The answer goes to standard output, in\n" +
			"hex if it is no text. What could do something to the terminal is escaped, such as \\r and\n" +
			"\\u001b. Where the answer is not all text, --json has response_hex, the bytes as they came.\n" +
			"Exit codes: 0 answered (with --wait 0: accepted), 1 not, as standard error says, 2 wrong usage,\n" +
			"78 wrong settings.\n" +
			"The same --id is executed once: with it, what was sent before is asked for again.",
		Flags: append([]cli.Flag{
			&cli.IntFlag{Name: "codec", Value: 12, Usage: "12, or 14: the device confirms that it is the one meant"},
			&cli.DurationFlag{Name: "timeout", Value: command.DefaultTimeout,
				Usage: "how long the answer may take once the command is sent"},
			&cli.DurationFlag{Name: "expires", Value: command.DefaultExpiry,
				Usage: "the command is not sent later than after this time"},
			&cli.DurationFlag{Name: "wait", Usage: "how long the result is waited for; 0: print the id and end",
				DefaultText: fmt.Sprintf("--timeout and %v more", sendMargin)},
			&cli.BoolFlag{Name: "hex", Usage: "COMMAND is bytes in hex"},
			&cli.StringFlag{Name: "id", Usage: "the command's id (default a random one)"},
			&cli.BoolFlag{Name: "idempotent", Usage: "it may be sent twice where it is not known whether it was sent"},
			&cli.BoolFlag{Name: "confirm", Usage: "it is meant, although the policy asks for confirmation"},
			&cli.BoolFlag{Name: "json", Usage: "print all that is known of the command, as a JSON object"},
		}, settingFlags(adminSettings...)...),
		Action: send,
	}
}

// adminSettings are those of the commands that ask a running server.
var adminSettings = []string{"ADMIN_ADDRESS", "ADMIN_TOKEN"}

// sendMargin is how much longer than its timeout a command is waited for: it begins when the command is sent.
const sendMargin = 5 * time.Second

func send(ctx context.Context, cmd *cli.Command) error {
	if n := cmd.Args().Len(); n != 2 {
		return usageError(ctx, cmd, fmt.Errorf("%s: give the IMEI and the command, which is quoted if it has spaces",
			plural(n, "argument")), true)
	}
	if imei := cmd.Args().First(); !isDeviceID(imei) {
		return usageError(ctx, cmd, fmt.Errorf("IMEI %q: %s", imei, useDeviceID), true)
	}
	client, err := adminClient(cmd)
	if err != nil {
		return err
	}
	defer client.Close()
	imei, r := cmd.Args().First(), sendRequest(cmd)
	e, err := client.Submit(ctx, imei, r)
	if err != nil {
		return sendFailed(client, err, *r.ID)
	}
	return printResult(cmd, &e, *r.WaitMS == 0)
}

func sendRequest(cmd *cli.Command) *admin.Request {
	wait := cmd.Duration("timeout") + sendMargin
	if cmd.IsSet("wait") {
		wait = cmd.Duration("wait")
	}
	r := &admin.Request{
		ID: new(cmp.Or(cmd.String("id"), admin.NewID())), Codec: new(cmd.Int("codec")),
		TimeoutMS: new(cmd.Duration("timeout").Milliseconds()), ExpiresInMS: new(cmd.Duration("expires").Milliseconds()),
		WaitMS: new(wait.Milliseconds()), Idempotent: cmd.Bool("idempotent"), Confirm: cmd.Bool("confirm"),
	}
	if payload := cmd.Args().Get(1); cmd.Bool("hex") {
		r.Hex = &payload
	} else {
		r.Command = &payload
	}
	return r
}

// printResult prints the answer. Everything but an answer is an error, unless it was not waited for.
func printResult(cmd *cli.Command, e *admin.Entry, accepted bool) error {
	out := cmd.Root().Writer
	switch {
	case cmd.Bool("json"):
		if err := printJSON(out, e); err != nil {
			return err
		}
	case accepted:
		fmt.Fprintln(out, e.ID)
	case e.State == command.Answered && e.Response != nil:
		fmt.Fprintln(out, strings.TrimSuffix(strings.ReplaceAll(*e.Response, "\r\n", "\n"), "\n"))
	}
	if accepted || e.State == command.Answered {
		return nil
	}
	text := fmt.Sprintf("command %s is %s", e.ID, e.State)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return cli.Exit(text+"; "+sequel(e), exitFailure)
}

func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// sequel says what a state other than answered means to whoever sent the command.
func sequel(e *admin.Entry) string {
	again := "with --id " + e.ID + " its result is asked for again"
	switch e.State {
	case command.Queued:
		return fmt.Sprintf("it is sent when the device can take it, until %s (tcp-ingestion devices shows who is "+
			"connected); %s",
			e.ExpiresAt.Format(time.RFC3339), again)
	case command.Sent:
		return "its answer may still come; " + again
	case command.Nacked:
		return "the device at this connection has another IMEI than it logged in with; it has not executed the command"
	case command.TimedOut:
		return "the device may have executed it all the same"
	case command.Expired, command.Cancelled:
		return "it was not sent"
	}
	if e.Attempts > 0 {
		return "the device may have executed it all the same"
	}
	return "it was not sent"
}

// sendFlags are where the fields of a command come from.
var sendFlags = map[string]string{
	"imei": "IMEI", "command": "COMMAND", "hex": "COMMAND", "id": "--id", "codec": "--codec",
	"timeout_ms": "--timeout in ms",
	"expires_at": "--expires", "expires_in_ms": "--expires in ms", "wait_ms": "--wait in ms",
}

// sendFailed says why a command was not accepted, and what to do.
func sendFailed(client *admin.Client, err error, id string) error {
	var p *admin.Problem
	switch {
	case !errors.As(err, &p):
		text := askFailed(client, err).Error()
		if network := (*net.OpError)(nil); !errors.As(err, &network) || network.Op != "dial" {
			text += "; if the command was accepted before, --id " + id + " finds it"
		}
		return cli.Exit(text, exitFailure)
	case len(p.Fields) > 0:
		var wrong []string
		for _, name := range slices.Sorted(maps.Keys(p.Fields)) {
			wrong = append(wrong, cmp.Or(sendFlags[name], name)+" "+p.Fields[name])
		}
		return cli.Exit(strings.Join(wrong, "; ")+"; see tcp-ingestion send --help", exitUsage)
	case p.Reason == command.RefusedConfirm:
		return cli.Exit(p.Text+"; if it is meant, add --confirm", exitFailure)
	case p.Reason == command.RefusedDenied:
		return cli.Exit(p.Text+"; the server's COMMAND_POLICY says which may be sent", exitFailure)
	case p.Reason != "":
		return cli.Exit(p.Text+"; try again later", exitFailure)
	case p.ID != "":
		return cli.Exit(fmt.Sprintf("%s; it is not known whether the command was accepted: with --id %s it can be "+
			"sent again, it is executed once", p.Text, id), exitFailure)
	}
	return askFailed(client, err)
}

// adminClient is a client of the server whose settings these are.
func adminClient(cmd *cli.Command) (*admin.Client, error) {
	c, err := loadSettings(cmd, nil)
	if err != nil {
		return nil, err
	}
	if c.AdminAddress == "" {
		return nil, cli.Exit("ADMIN_ADDRESS is off: without the API nobody can be asked; set it as the server has it",
			exitSettings)
	}
	client, err := admin.NewClient(c.AdminAddress, c.AdminToken)
	if err != nil {
		return nil, cli.Exit(fmt.Sprintf("ADMIN_ADDRESS %q: %v; give the server's, which it logs at its start",
			c.AdminAddress, err), exitSettings)
	}
	return client, nil
}

// askFailed says what to do if the server does not answer as it should.
func askFailed(client *admin.Client, err error) error {
	var p *admin.Problem
	switch {
	case !errors.As(err, &p):
		return cli.Exit(fmt.Sprintf("no good answer from %s: %v; the server must run, with the same ADMIN_ADDRESS",
			client.URL(), err), exitFailure)
	case p.Status == http.StatusUnauthorized:
		return cli.Exit(fmt.Sprintf("%s asks for a token: set ADMIN_TOKEN as the server has it", client.URL()), exitFailure)
	}
	return cli.Exit(fmt.Sprintf("%s: %s", client.URL(), terminal.Line(p.Text)), exitFailure)
}
