package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command/condition"
)

// Exit codes of commands that ask a running server, beside the general ones. The set is closed. Those from 68 on are
// those of sysexits.h.
const (
	exitExpired     = 10
	exitTimedOut    = 11
	exitNacked      = 12
	exitCancelled   = 13
	exitNoResult    = 14 // queued or sent
	exitNotMet      = 15 // its condition was not met
	exitUnreachable = 68 // EX_NOHOST
	exitNoServer    = 69 // EX_UNAVAILABLE
	exitTooMany     = 75 // EX_TEMPFAIL
	exitRefused     = 77 // EX_NOPERM
)

// resultCodes are those of a command that was sent to a device.
const resultCodes = `Exit codes: 0 answered (with --wait 0: accepted), 1 failed, as standard error says, 2 wrong usage,
10 expired, 11 timed out, 12 the device is another one, 13 taken back, 14 no result yet, 15 its condition was not met,
68 no command can reach the device, 69 no server answers, 75 too many commands wait, 77 refused by the policy, 78 wrong
settings.`

// stateCodes are the exit codes of whoever wanted an answer.
var stateCodes = map[command.State]int{
	command.Answered: exitOK, command.Failed: exitFailure, command.Expired: exitExpired, command.TimedOut: exitTimedOut,
	command.Nacked: exitNacked, command.Cancelled: exitCancelled, command.Queued: exitNoResult, command.Sent: exitNoResult,
}

// shown is an error of which standard output has had its part.
type shown struct{ cli.ExitCoder }

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
	code := stateCodes[e.State]
	if e.State == command.Failed && condition.IsNotMet(e.Reason) {
		code = exitNotMet
	}
	return shown{cli.Exit(stateText(e)+"; "+sequel(e), code)}
}

// stateText says what has become of a command.
func stateText(e *admin.Entry) string {
	text := fmt.Sprintf("command %s is %s", e.ID, e.State)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// sequel says what a state other than answered means to whoever sent the command.
func sequel(e *admin.Entry) string {
	switch e.State {
	case command.Queued:
		return queuedUntil(e) + "; with --id " + e.ID + " its result is asked for again"
	case command.Sent:
		return "its answer may still come; with --id " + e.ID + " its result is asked for again"
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

// queuedUntil says what becomes of a command that is queued.
func queuedUntil(e *admin.Entry) string {
	when := "when its turn comes"
	if e.WaitsFor == admin.WaitsForDevice {
		when = "when the device connects"
	}
	return fmt.Sprintf("it is sent %s, until %s; tcp-ingestion commands cancel %s takes it back",
		when, e.ExpiresAt.Format(time.RFC3339), e.ID)
}
