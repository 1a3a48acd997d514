package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

const sendDescription = `Asks a running server through its API at --admin-address. The answer goes to standard output,
in hex if it is no text. What could do something to the terminal is escaped, such as \r and \u001b. Where the answer
is not all text, --json has response_hex, the bytes as they came.
If the device is not connected, standard error says so at once: the command is kept and sent when the device
connects, until --expires is over. Ctrl-C takes the command back, and says whether it was sent already. A second
Ctrl-C ends at once.
A command that has a name, such as --locate, is the text that the device's family or model knows it by. It is shown
before it goes, and a dangerous one is confirmed: by typing its name on a terminal, by --yes otherwise.
The same --id is executed once: with it, what was sent before is asked for again.
With --json standard output has one object in any case: the command, or what is wrong, with "error" and "exit_code".
` + resultCodes

func sendCommand() *cli.Command {
	return &cli.Command{
		Name:        "send",
		Usage:       "send a command to a device and print its answer",
		ArgsUsage:   "IMEI 'COMMAND' | IMEI --NAME",
		Description: sendDescription,
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
			&cli.BoolFlag{Name: "confirm", Aliases: []string{"yes"},
				Usage: "it is meant, although the policy asks for confirmation, or the named command is dangerous"},
			&cli.StringFlag{Name: "only-if", Usage: "what has to be true of the device's last record when the command " +
				"goes out, such as speed<5,ignition=off; it fails otherwise"},
			&cli.BoolFlag{Name: "json", Usage: "print all that is known of the command, as a JSON object"},
		}, append(commandNameFlags(), settingFlags(adminSettings...)...)...),
		Action: withJSON(send),
	}
}

// adminSettings are those of the commands that ask a running server.
var adminSettings = []string{"ADMIN_ADDRESS", "ADMIN_TOKEN"}

// sendMargin is how much longer than its timeout a command is waited for: it begins when the command is sent.
const sendMargin = 5 * time.Second

func send(ctx context.Context, cmd *cli.Command) error {
	name, err := nameGiven(cmd)
	if err != nil {
		return usageError(ctx, cmd, err, true)
	}
	switch n := cmd.Args().Len(); {
	case name != "" && n != 1:
		return usageError(ctx, cmd, fmt.Errorf("%s: give the IMEI, and --%s in place of a command", plural(n, "argument"),
			name), true)
	case name == "" && n != 2:
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
	text := cmd.Args().Get(1)
	if name != "" {
		if text, err = resolveName(ctx, cmd, client, name); err != nil {
			return err
		}
	}
	job := newSending(cmd, client, text)
	defer job.end()
	e, err := job.run(ctx)
	if err != nil {
		return err
	}
	return printResult(cmd, &e, job.wait == 0 && !job.interrupted)
}

// sendRequest is what the flags ask for, and for how long its result is waited for.
func sendRequest(cmd *cli.Command, payload string) (r *admin.Request, wait time.Duration) {
	wait = cmd.Duration("timeout") + sendMargin
	if cmd.IsSet("wait") {
		wait = cmd.Duration("wait")
	}
	r = &admin.Request{
		ID: new(cmp.Or(cmd.String("id"), admin.NewID())), Codec: new(cmd.Int("codec")),
		TimeoutMS: new(cmd.Duration("timeout").Milliseconds()), ExpiresInMS: new(cmd.Duration("expires").Milliseconds()),
		WaitMS: new(min(wait.Milliseconds(), 0)), Idempotent: cmd.Bool("idempotent"), Confirm: cmd.Bool("confirm"),
	}
	if onlyIf := cmd.String("only-if"); cmd.IsSet("only-if") {
		r.OnlyIf = &onlyIf
	}
	if cmd.Bool("hex") {
		r.Hex = &payload
	} else {
		r.Command = &payload
	}
	return r, wait
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
