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

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
)

// withJSON has an action print its error as a JSON object if --json asks for that, unless it has printed one.
func withJSON(action cli.ActionFunc) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		err := action(ctx, cmd)
		if _, done := err.(shown); err == nil || done || !cmd.Bool("json") {
			return err
		}
		said := struct {
			admin.Problem
			ExitCode int `json:"exit_code"`
		}{ExitCode: exitCode(err)}
		var p *admin.Problem
		if errors.As(err, &p) {
			said.Problem = *p
		}
		said.Text = err.Error()
		return errors.Join(err, printJSON(cmd.Root().Writer, said))
	}
}

func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// refusal is why a server has not done what it was asked for, in words of this program.
type refusal struct {
	*admin.Problem // what the server says
	text           string
	code           int
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) ExitCode() int { return r.code }
func (r *refusal) Unwrap() error { return r.Problem }

// refusalCodes are the exit codes of commands that are not taken, and what to do.
var refusalCodes = map[command.Refusal]struct {
	code int
	do   string
}{
	command.RefusedConfirm: {exitRefused, "if it is meant, add --confirm"},
	command.RefusedDenied:  {exitRefused, "the server's COMMAND_POLICY says which may be sent"},
	command.RefusedQueue:   {exitTooMany, "try again later"},
	command.RefusedStore:   {exitTooMany, "try again later"},
	command.RefusedUDP:     {exitUnreachable, "have it connect by TCP or TLS"},
}

// sendFlags are where the fields of a command come from.
var sendFlags = map[string]string{
	"imei": "IMEI", "command": "COMMAND", "hex": "COMMAND", "id": "--id", "codec": "--codec",
	"timeout_ms": "--timeout in ms",
	"expires_at": "--expires", "expires_in_ms": "--expires in ms", "wait_ms": "--wait in ms", "only_if": "--only-if",
	"name": "--name", "args": "--arg", "family": "--family",
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
		return &refusal{&admin.Problem{ID: id}, text, exitNoServer}
	case len(p.Fields) > 0:
		var wrong []string
		for _, name := range slices.Sorted(maps.Keys(p.Fields)) {
			wrong = append(wrong, cmp.Or(sendFlags[name], name)+" "+p.Fields[name])
		}
		return &refusal{p, strings.Join(wrong, "; ") + "; see tcp-ingestion send --help", exitUsage}
	case p.Reason != "":
		known := refusalCodes[p.Reason]
		return &refusal{p, p.Text + "; " + cmp.Or(known.do, "try again later"), cmp.Or(known.code, exitFailure)}
	case p.ID != "":
		return &refusal{p, fmt.Sprintf("%s; it is not known whether the command was accepted: with --id %s it can be "+
			"sent again, it is executed once", p.Text, id), exitFailure}
	}
	return askFailed(client, err)
}

// askFailed says what to do if the server does not answer as it should.
func askFailed(client *admin.Client, err error) error {
	var p *admin.Problem
	switch {
	case !errors.As(err, &p):
		return cli.Exit(fmt.Sprintf("no good answer from %s: %v; the server must run, with the same ADMIN_ADDRESS",
			client.URL(), err), exitNoServer)
	case p.Status == http.StatusUnauthorized:
		return &refusal{p, fmt.Sprintf("%s asks for a token: set ADMIN_TOKEN as the server has it", client.URL()),
			exitFailure}
	}
	return &refusal{p, fmt.Sprintf("%s: %s", client.URL(), terminal.Line(p.Text)), exitFailure}
}
