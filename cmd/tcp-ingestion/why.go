package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/verdict"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
)

// Exit codes of why, whose 1 and 2 are verdicts.
const (
	exitNeverSeen = 2
	exitWhyUsage  = 64 // EX_USAGE
	exitNoVerdict = 70 // EX_SOFTWARE
)

const whyDescription = `Says what is the matter with a device, what that rests on, and what to do next. It asks a
running server through its API at --admin-address; with a control Redis any instance knows the devices of all, also
after they have left, and who has knocked and never logged in. All verdicts: docs/reference/verdicts.md.
With --all it lists every device with a problem, the worst first.
Exit codes: 0 fine, 1 a problem (with --all: there are some), 2 never seen, 64 wrong usage, 69 no server answers,
70 the server cannot say, 78 wrong settings.`

func whyCommand() *cli.Command {
	return &cli.Command{
		Name: "why", Usage: "say why a device is, or is not, visible", ArgsUsage: "IMEI", Description: whyDescription,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "all", Usage: "all devices with a problem, instead of one"},
			&cli.IntFlag{Name: "limit", Value: defaultProblems, Usage: "with --all: so many at the most (0: all)"},
			&cli.BoolFlag{Name: "json", Usage: "print a JSON object, with --all one for each device"},
		}, settingFlags(adminSettings...)...),
		Action: withJSON(whyCoded(why)),
		OnUsageError: func(ctx context.Context, cmd *cli.Command, err error, _ bool) error {
			return whyUsage(cmd, usageText(err))
		},
	}
}

// defaultProblems is how many devices --all shows if it is not said.
const defaultProblems = 200

// whyCoded keeps wrong usage and a server that cannot say apart from the verdicts.
func whyCoded(action cli.ActionFunc) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		err := action(ctx, cmd)
		if _, done := err.(shown); done || err == nil {
			return err
		}
		code := exitNoVerdict
		if coded, ok := err.(cli.ExitCoder); ok && coded.ExitCode() > exitUsage {
			code = coded.ExitCode()
		}
		if refused, ok := err.(*refusal); ok {
			refused.code = code
			return refused
		}
		return cli.Exit(err.Error(), code)
	}
}

func why(ctx context.Context, cmd *cli.Command) error {
	imei, n := cmd.Args().First(), cmd.Args().Len()
	switch all := cmd.Bool("all"); {
	case all && n > 0:
		return whyUsage(cmd, "give an IMEI or --all, not both")
	case !all && n != 1:
		return whyUsage(cmd, plural(n, "argument")+": give one IMEI, or --all")
	case !all && !isDeviceID(imei):
		return whyUsage(cmd, fmt.Sprintf("IMEI %q: %s", imei, useDeviceID))
	case cmd.Int("limit") < 0:
		return whyUsage(cmd, fmt.Sprintf("--limit %d: use 0 or more", cmd.Int("limit")))
	}
	client, err := adminClient(cmd)
	if err != nil {
		return err
	}
	defer client.Close()
	if cmd.Bool("all") {
		return whyAll(ctx, cmd, client)
	}
	d, err := client.Why(ctx, imei)
	if err != nil {
		return askFailed(client, err)
	}
	if err := printVerdict(cmd, &d); err != nil {
		return err
	}
	return verdictCode(d.Verdict.Severity)
}

func whyUsage(cmd *cli.Command, text string) error {
	return cli.Exit(text+"; see "+cmd.FullName()+" --help", exitWhyUsage)
}

// verdictCode is the exit code of a verdict that has been printed.
func verdictCode(s verdict.Severity) error {
	switch s {
	case verdict.Problem:
		return shown{cli.Exit("", exitFailure)}
	case verdict.Unknown:
		return shown{cli.Exit("", exitNeverSeen)}
	}
	return nil
}

// severities are for people.
var severities = map[verdict.Severity]string{
	verdict.Fine: "fine", verdict.Problem: "a problem", verdict.Unknown: "never seen",
}

func printVerdict(cmd *cli.Command, d *admin.Diagnosis) error {
	out := cmd.Root().Writer
	if cmd.Bool("json") {
		return printJSON(out, d)
	}
	v := &d.Verdict
	fmt.Fprintf(out, "%s: %s (%s)\n%s\n", d.IMEI, severities[v.Severity], v.Code, v.Text)
	for _, line := range v.Evidence {
		fmt.Fprintf(out, "  %s\n", terminal.Line(line)) // which may quote the device
	}
	_, err := fmt.Fprintf(out, "Next: %s\n", v.Next)
	return err
}

// whyAll lists the devices with a problem.
func whyAll(ctx context.Context, cmd *cli.Command, client *admin.Client) error {
	out, limit := cmd.Root().Writer, cmd.Int("limit")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	listed, total, incomplete := 0, 0, false
	for cursor := ""; limit == 0 || listed < limit; {
		page := admin.MaxProblems
		if limit > 0 {
			page = min(limit-listed, page)
		}
		list, err := client.Problems(ctx, cursor, page)
		if err != nil {
			return askFailed(client, err)
		}
		if !cmd.Bool("json") && cursor == "" && len(list.Problems) > 0 {
			fmt.Fprintln(table, "IMEI\tVERDICT\tLAST SEEN\tWHAT")
		}
		for i := range list.Problems {
			if err := printProblem(cmd, table, &list.Problems[i]); err != nil {
				return cli.Exit(err.Error(), exitNoVerdict)
			}
		}
		incomplete = incomplete || list.Incomplete != ""
		if list.Incomplete != "" && cursor == "" {
			fmt.Fprintln(cmd.Root().ErrWriter, terminal.Line(list.Incomplete))
		}
		listed, total = listed+len(list.Problems), list.Total
		if cursor = list.Next; cursor == "" {
			break
		}
	}
	if err := table.Flush(); err != nil {
		return cli.Exit(err.Error(), exitNoVerdict)
	}
	if !cmd.Bool("json") && listed < total {
		fmt.Fprintf(out, "and %d more: --limit 0 lists all\n", total-listed)
	}
	if total == 0 && incomplete {
		return cli.Exit("no problem is known, but not all devices could be looked at", exitNoVerdict)
	}
	if total == 0 && !cmd.Bool("json") {
		fmt.Fprintln(out, "no device has a problem")
	}
	if total == 0 {
		return nil
	}
	return verdictCode(verdict.Problem)
}

func printProblem(cmd *cli.Command, table io.Writer, d *admin.Diagnosis) error {
	if cmd.Bool("json") {
		return printJSON(cmd.Root().Writer, d)
	}
	seen := "never"
	if !d.LastSeen.IsZero() {
		seen = d.LastSeen.Format("2006-01-02T15:04:05Z07:00")
	}
	_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", terminal.Line(d.IMEI), d.Verdict.Code, seen, d.Verdict.Text)
	return err
}
