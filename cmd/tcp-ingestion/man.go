package main

import (
	"context"
	"fmt"

	docs "github.com/urfave/cli-docs/v3"
	"github.com/urfave/cli/v3"
)

func manCommand() *cli.Command {
	return &cli.Command{
		Name:  "man",
		Usage: "print the manual page; see it by tcp-ingestion man | man -l -",
		Action: func(_ context.Context, cmd *cli.Command) error {
			page, err := docs.ToManWithSection(cmd.Root(), 1)
			if err != nil {
				return cli.Exit(err.Error(), exitFailure)
			}
			_, err = fmt.Fprint(cmd.Root().Writer, page)
			return err
		},
	}
}
