package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/named"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
)

// commandNameFlags are the commands that have names, and what those of a user's file are asked for by.
func commandNameFlags() []cli.Flag {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "a command that has a name, also one of the server's COMMANDS_FILE; " +
			"commands names lists them"},
		&cli.StringSliceFlag{Name: "arg", Usage: "what the named command needs to be told, such as seconds=60"},
		&cli.StringFlag{Name: "family", Usage: "the device's family or model, where the server does not know it"},
	}
	for _, name := range named.Embedded().Names() {
		flags = append(flags, &cli.BoolFlag{Name: name, Usage: does(name), Category: "Named commands"})
	}
	return flags
}

// does is what a command does, by the first row of its name.
func does(name string) string {
	for _, r := range named.Embedded().Rows("") {
		if r.Name == name {
			return r.Does
		}
	}
	return ""
}

// nameGiven is the name that is asked for, empty if none is.
func nameGiven(cmd *cli.Command) (name string, err error) {
	given := []string{}
	if cmd.IsSet("name") {
		given = append(given, cmd.String("name"))
	}
	for _, n := range named.Embedded().Names() {
		if cmd.Bool(n) {
			given = append(given, n)
		}
	}
	switch {
	case len(given) == 1 && given[0] == "":
		return "", errors.New("--name is empty")
	case len(given) > 1:
		return "", fmt.Errorf("--%s: one command at a time", strings.Join(given, " and --"))
	case len(given) == 1 && cmd.Bool("hex"):
		return "", errors.New("--hex is for a command without a name")
	case len(given) == 1:
		return given[0], nil
	case cmd.IsSet("arg") || cmd.IsSet("family"):
		return "", errors.New("--arg and --family are for a command that has a name")
	}
	return "", nil
}

// resolveName asks the server what the name means for the device, shows it, and has it confirmed if it is dangerous.
// It returns the text that is to be sent.
func resolveName(ctx context.Context, cmd *cli.Command, client *admin.Client, name string) (string, error) {
	imei, r := cmd.Args().First(), admin.Request{Name: &name}
	for _, pair := range cmd.StringSlice("arg") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return "", usageError(ctx, cmd, fmt.Errorf("--arg %q: give it as name=value", pair), true)
		}
		if r.Args == nil {
			r.Args = admin.Args{}
		}
		r.Args[key] = value
	}
	if family := cmd.String("family"); family != "" {
		r.Family = &family
	}
	if onlyIf := cmd.String("only-if"); onlyIf != "" {
		r.OnlyIf = &onlyIf
	}
	n, err := client.Resolve(ctx, imei, r)
	if p := (*admin.Problem)(nil); errors.As(err, &p) {
		return "", sendFailed(client, err, "")
	} else if err != nil {
		return "", askFailed(client, err)
	}
	told := cmd.Root().ErrWriter
	fmt.Fprintf(told, "tcp-ingestion: %s gets %q: it %s\n", deviceOf(&n), n.Command, terminal.Line(n.Does))
	if n.Warning != "" {
		fmt.Fprintf(told, "tcp-ingestion: warning: %s\n", terminal.Line(n.Warning))
	}
	if !n.Confirm || cmd.Bool("confirm") {
		return n.Command, nil
	}
	return n.Command, confirmName(cmd, name)
}

func deviceOf(n *admin.Named) string {
	if known := strings.TrimSpace(n.Model + " " + n.Family); known != "" {
		return fmt.Sprintf("%s (%s)", terminal.Line(n.IMEI), terminal.Line(known))
	}
	return terminal.Line(n.IMEI)
}

// confirmName asks whoever sits at the terminal to type the command's name. Nobody sits at a pipe.
func confirmName(cmd *cli.Command, name string) error {
	in := cmd.Root().Reader
	if !terminal.IsTerminal(in) {
		return cli.Exit(name+" is dangerous, and there is no terminal to confirm it at: say --yes if it is meant",
			exitRefused)
	}
	fmt.Fprintf(cmd.Root().ErrWriter, "tcp-ingestion: type %s to send it: ", name)
	line, _ := bufio.NewReader(io.LimitReader(in, 128)).ReadString('\n')
	if strings.TrimSpace(line) != name {
		return cli.Exit("not confirmed, nothing is sent", exitRefused)
	}
	return cmd.Set("confirm", "true")
}

// listNames shows the table of names.
func listNames(ctx context.Context, cmd *cli.Command, client *admin.Client) error {
	list, err := client.Names(ctx, cmd.String("family"))
	if err != nil {
		return askFailed(client, err)
	}
	out := tabwriter.NewWriter(cmd.Root().Writer, 0, 0, 2, ' ', 0)
	if !cmd.Bool("json") {
		fmt.Fprintln(out, "NAME\tDEVICES\tCOMMAND\tDOES")
	}
	for i := range list.Names {
		n := &list.Names[i]
		if cmd.Bool("json") {
			if err := printJSON(cmd.Root().Writer, n); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", terminal.Line(n.Name), terminal.Line(strings.Join(n.Match, ",")),
			terminal.Line(n.Command), terminal.Line(n.Does))
	}
	return out.Flush()
}
