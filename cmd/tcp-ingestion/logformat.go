package main

import (
	"context"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/logging"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
)

// logsText reports whether the log is text: as LOG_FORMAT says or, where it says nothing, on a terminal.
func logsText(cmd *cli.Command, format string) bool {
	if format != "" {
		return format == config.LogText
	}
	screen, ok := cmd.Root().ErrWriter.(*terminal.Writer)
	return ok && screen.IsTerminal()
}

// inLogFormat has what ends serve be a line of its log, where that is JSON: whoever reads the log reads why. The
// settings may be what is wrong, so the format is looked for by itself.
func inLogFormat(cmd *cli.Command, err error) error {
	if err == nil || err.Error() == "" || logsText(cmd, gatherSettings(cmd, nil).Of("LOG_FORMAT").Value) {
		return err
	}
	code := exitCode(err)
	if code == exitOK {
		return err
	}
	logger := logging.New(cmd.Root().ErrWriter, logging.LevelFatal, false)
	logger.Log(context.Background(), logging.LevelFatal, "not started", "error", err.Error(), "exit_code", code)
	return cli.Exit("", code)
}
