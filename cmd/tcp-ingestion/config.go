package main

import (
	"context"
	"io"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
)

func configCommand() *cli.Command {
	return &cli.Command{
		Name:  "config",
		Usage: "print a file of all settings for --config, or the settings in force and where each stands",
		Commands: []*cli.Command{
			{
				Name: "example", Usage: "print a file of all settings, commented out, with their defaults",
				Action: withoutArguments(func(_ context.Context, cmd *cli.Command) error {
					_, err := io.WriteString(cmd.Root().Writer, config.Example())
					return err
				}),
				OnUsageError: usageError,
			},
			{
				Name: "show", Usage: "print the settings in force and where each stands, without secrets",
				Description: "It is a file for --config again. Exit codes: 0 all right, 78 wrong settings.",
				Flags:       settingFlags(),
				Action:      withoutArguments(showConfig), OnUsageError: usageError,
			},
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

func showConfig(_ context.Context, cmd *cli.Command) error {
	values := gatherSettings(cmd, nil)
	if _, err := inForce(values); err != nil {
		return err
	}
	_, err := io.WriteString(cmd.Root().Writer, values.Show())
	return err
}
