// Command tcp-ingestion receives the records of Teltonika GPS trackers and stores them durably before it
// acknowledges them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/signals"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
)

// Exit codes.
const (
	exitOK       = 0
	exitFailure  = 1  // the stop timed out, the engine is unusable, a packet is not ok
	exitUsage    = 2  // the command line is wrong
	exitSettings = 78 // the settings are wrong; nothing was started
)

func main() { os.Exit(run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr)) }

// run is main with everything it touches as a parameter. Whatever a device has said, nothing of it that is printed or
// logged does anything to a terminal.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	shown, told := terminal.NewWriter(out), terminal.NewWriter(errOut)
	defer told.Flush()
	root := rootCommand()
	root.Reader, root.Writer, root.ErrWriter = in, shown, told
	err := errors.Join(root.Run(ctx, args), shown.Flush())
	if err == nil {
		return exitOK
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(told, "tcp-ingestion:", text)
	}
	return exitCode(err)
}

// exitCode is the one that the error has the process end with.
func exitCode(err error) int {
	var coded cli.ExitCoder
	switch {
	case err == nil:
		return exitOK
	case !errors.As(err, &coded):
		return exitFailure
	case coded.ExitCode() == exitHelp:
		return exitUsage
	}
	return coded.ExitCode()
}

// categories are under which heading the help has each command.
var categories = map[string]string{
	"serve": "The service", "check": "The service", "config": "The service", "demo": "The service",
	"healthcheck": "The service", "shed": "The service", "version": "The service", "man": "The service",
	"devices": "Devices", "why": "Devices", "send": "Devices", "commands": "Devices", "tap": "Devices",
	"tail": "What is stored", "forward": "What is stored", "deadletters": "What is stored", "redecode": "What is stored",
	"migrate": "What is stored",
	"decode":  "Packets and elements", "dictionary": "Packets and elements", "simulate": "Packets and elements",
}

func rootCommand() *cli.Command {
	root := &cli.Command{
		Name:    "tcp-ingestion",
		Usage:   "receive Teltonika GPS trackers; an ACK means stored",
		Version: version(),
		Commands: []*cli.Command{
			serveCommand(), checkCommand(), configCommand(), decodeCommand(), dictionaryCommand(), simulateCommand(),
			tailCommand(), forwardCommand(), deadLettersCommand(), redecodeCommand(), migrateCommand(), sendCommand(),
			commandsCommand(), devicesCommand(), whyCommand(), tapCommand(), demoCommand(), healthcheckCommand(),
			shedCommand(), versionCommand(), manCommand(),
		},
		Action: func(_ context.Context, cmd *cli.Command) error {
			if name := cmd.Args().First(); name != "" {
				return unknownCommand(cmd, name)
			}
			cli.ShowRootCommandHelp(cmd)
			return cli.Exit("", exitUsage)
		},
		EnableShellCompletion: true,
		ConfigureShellCompletionCommand: func(c *cli.Command) {
			c.Hidden, c.Category, c.Usage = false, categories["check"], "print what a shell completes commands with"
		},
		ExitErrHandler: func(context.Context, *cli.Command, error) {}, // run does it
		OnUsageError:   usageError,
	}
	for _, c := range root.Commands {
		c.Category = categories[c.Name]
		if c.OnUsageError == nil {
			c.OnUsageError = usageError
		}
		if c.Name != "serve" {
			c.Before = endedBySignals
		}
		if c.ArgsUsage == "" && len(c.Commands) == 0 {
			c.Action = withoutArguments(c.Action)
		}
		c.ExitErrHandler = root.ExitErrHandler
	}
	return root
}

// endedBySignals has signals end the command as they usually do, unless it takes them itself.
func endedBySignals(ctx context.Context, _ *cli.Command) (context.Context, error) {
	signals.Leave()
	return ctx, nil
}

// withoutArguments refuses words that the command would not look at: a setting without its dashes must not be taken
// for one that is in force.
func withoutArguments(action cli.ActionFunc) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		if cmd.Args().Present() {
			return usageError(ctx, cmd, fmt.Errorf("unexpected argument %q", cmd.Args().First()), true)
		}
		return action(ctx, cmd)
	}
}
