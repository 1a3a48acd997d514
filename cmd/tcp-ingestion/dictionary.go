package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/dictionary"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

const dictionaryDescription = `Prints the dictionary: what each element, by its id and width in bytes, means on which
family of devices. It is one row a line, with tabs between the columns and a header, unless a command follows.
Exit codes: 0 done, 1 the engine or a file cannot be read, 2 wrong usage, 78 wrong settings or overrides.`

func dictionaryCommand() *cli.Command {
	return &cli.Command{
		Name:        "dictionary",
		Usage:       "what elements mean: print it, explain a device's, count what is unknown, check overrides",
		Description: dictionaryDescription,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object a row", Local: true},
			&cli.BoolFlag{Name: "sql", Usage: "print a table for psql, on PostgreSQL or TimescaleDB", Local: true},
			&cli.StringFlag{Name: "id", Usage: "only rows for this element id", Local: true},
		}, familyFlags("only rows for")...),
		Commands: []*cli.Command{
			dictionaryExplainCommand(), dictionaryUnknownCommand(), dictionaryCheckCommand(),
		},
		Action: printDictionary,
	}
}

// printDictionary prints the rows that the flags choose.
func printDictionary(_ context.Context, cmd *cli.Command) error {
	if name := cmd.Args().First(); name != "" {
		return unknownCommand(cmd, name)
	}
	if cmd.Bool("json") && cmd.Bool("sql") {
		return wrongFlag(cmd, "--json and --sql: use one of them")
	}
	filter, err := dictionaryFilter(cmd)
	if err != nil {
		return err
	}
	d := meaning.Embedded()
	rows := filter.Rows(d)
	if len(rows) == 0 {
		return cli.Exit("no row of the dictionary is so", exitFailure)
	}
	out := cmd.Root().Writer
	switch {
	case cmd.Bool("json"):
		return dictionary.WriteJSON(out, rows)
	case cmd.Bool("sql"):
		return dictionary.WriteSQL(out, d.Version(), rows)
	}
	return dictionary.WriteTSV(out, rows)
}

func dictionaryFilter(cmd *cli.Command) (f dictionary.Filter, err error) {
	if f.Identity, err = identityOf(cmd); err != nil || !cmd.IsSet("id") {
		return f, err
	}
	n, err := strconv.ParseUint(cmd.String("id"), 10, 16)
	if err != nil {
		return f, wrongFlag(cmd, "--id %q: use a number of 0 to 65535", cmd.String("id"))
	}
	id := uint16(n)
	f.ID = &id
	return f, nil
}

const dictionaryCheckDescription = `Reads a file as DICTIONARY_OVERRIDES would, and says everything that is wrong in
it, with line and column, or what each row changes. - is standard input.
Exit codes: 0 the file is good, 1 it cannot be read, 2 wrong usage, 78 something is wrong in it.`

func dictionaryCheckCommand() *cli.Command {
	return &cli.Command{
		Name: "check", Usage: "say what a file of overrides changes, or what is wrong in it", ArgsUsage: "FILE",
		Description: dictionaryCheckDescription, HideHelpCommand: true,
		Action: checkOverrides, OnUsageError: usageError,
	}
}

func checkOverrides(_ context.Context, cmd *cli.Command) error {
	if cmd.NArg() != 1 {
		return wrongFlag(cmd, "which file? Give one")
	}
	path := cmd.Args().First()
	tsv, err := readOverrides(path, cmd.Root().Reader)
	if err != nil {
		return cli.Exit(err.Error(), exitFailure)
	}
	d, problems := dictionary.Check(meaning.Embedded(), tsv)
	if len(problems) > 0 {
		for _, problem := range problems {
			fmt.Fprintf(cmd.Root().ErrWriter, "%s: %v\n", path, problem)
		}
		return cli.Exit(fmt.Sprintf("%s: %s; the service would keep what it has", path,
			plural(len(problems), "problem")), exitSettings)
	}
	rows := 0
	for range d.Overrides() {
		rows++
	}
	out := cmd.Root().Writer
	for _, change := range dictionary.Changes(meaning.Embedded(), d) {
		fmt.Fprintln(out, change)
	}
	fmt.Fprintf(out, "%s: good, %s; dictionary %s\n", path, plural(rows, "row"), d.Version())
	return nil
}

// readOverrides reads the file, and not much more than it may have.
func readOverrides(path string, stdin io.Reader) (string, error) {
	from := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer file.Close()
		from = file
	}
	b, err := io.ReadAll(io.LimitReader(from, meaning.MaxOverrideBytes+1))
	return string(b), err
}
