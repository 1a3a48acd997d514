package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/format"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
)

func tailCommand() *cli.Command {
	return &cli.Command{
		Name:  "tail",
		Usage: "follow the published records, or the devices' messages, as JSON lines",
		Description: "Needs the same engine settings as the server. Runs until Ctrl-C.\n" +
			"Exit codes: 0 ended or enough, 1 the engine cannot be reached at the start (later it is waited for)\n" +
			"or refuses to be read, 2 wrong usage, 78 wrong settings.",
		Flags: slices.Concat([]cli.Flag{
			&cli.BoolFlag{Name: "messages", Usage: "what devices send of their own accord beside their records"},
			&cli.BoolFlag{Name: "from-start", Usage: "begin with the oldest one kept instead of the next one; so does --since"},
			&cli.IntFlag{Name: "count", Usage: "end after so many (0: never)"},
			&cli.StringFlag{Name: "format", Usage: "records as another platform has them: " + formatNames,
				Value: format.Names()[0]},
			&cli.BoolFlag{Name: "names", Usage: "records for people: one line each, with their signals by name and unit"},
		}, selectionFlags(), settingFlagsWith(besideTheService, append([]string{overridesSetting}, engineSettings...)...)),
		Action: tail,
	}
}

var errEnough = errors.New("enough shown")

func tail(ctx context.Context, cmd *cli.Command) error {
	if cmd.Int("count") < 0 {
		return cli.Exit("--count: use 0 or more", exitUsage)
	}
	selected, err := readSelection(cmd)
	if err != nil {
		return err
	}
	asRecord, err := recordLine(ctx, cmd)
	if err != nil {
		return err
	}
	c, e, _, err := openEngine(cmd)
	if err != nil {
		return err
	}
	defer e.Close()
	stored, err := able[engine.Tailer](e, c, "be followed")
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := reach(ctx, cmd, c, e); err != nil {
		return err
	}
	shown, wanted := 0, cmd.Int("count")
	show := func(line []byte) error {
		if _, err := fmt.Fprintf(cmd.Root().Writer, "%s\n", line); err != nil {
			return err
		}
		if shown++; shown == wanted {
			return errEnough
		}
		return nil
	}
	if fromStart := cmd.Bool("from-start") || !selected.since.IsZero(); cmd.Bool("messages") {
		err = stored.TailMessages(ctx, fromStart, func(m engine.Message) error {
			if !selected.wants(m.DeviceID, m.Received) {
				return nil
			}
			return show(messageLine(m))
		})
	} else {
		err = stored.Tail(ctx, fromStart, func(payload []byte) error {
			if !selected.wantsRecord(payload) {
				return nil
			}
			line, err := asRecord(payload)
			if err != nil {
				fmt.Fprintln(cmd.Root().ErrWriter, "tcp-ingestion: left out:", err)
				return nil
			}
			return show(line)
		})
	}
	if err == nil || errors.Is(err, errEnough) || ctx.Err() != nil {
		return nil
	}
	return cli.Exit(err.Error(), exitFailure)
}

// reachTimeout is how long the engine may take to answer at the start.
const reachTimeout = 5 * time.Second

// reach finds out whether the engine is there at all, and says if nothing is kept yet: the stream may be another one.
// What else may be wrong with it, such as rights that a reader need not have, the tail itself finds out. The embedded
// engine's file is there.
func reach(ctx context.Context, cmd *cli.Command, c *config.Config, e engine.Engine) error {
	if c.Engine == config.EngineEmbedded {
		return nil
	}
	entry, err := engineOf(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	status, err := e.Probe(ctx)
	var network net.Error
	switch {
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded):
		return cli.Exit(fmt.Sprintf("%s cannot be reached: %v", entry.where(c), err), exitFailure)
	case err == nil && status.Length == 0:
		fmt.Fprintf(cmd.Root().ErrWriter, "tcp-ingestion: nothing is stored yet, %s: waiting for the first record\n",
			entry.where(c))
	}
	return nil
}

var formatNames = strings.Join(format.Names(), ", ")

// recordLine is how a record is shown.
func recordLine(ctx context.Context, cmd *cli.Command) (func(payload []byte) ([]byte, error), error) {
	name := cmd.String("format")
	chosen := format.Named(name)
	switch {
	case cmd.Bool("names") && (cmd.IsSet("format") || cmd.Bool("messages")):
		return nil, cli.Exit("--names shows records in a way of its own, without --format and --messages", exitUsage)
	case cmd.Bool("names"):
		d, err := dictionaryOf(ctx, cmd)
		if err != nil {
			return nil, err
		}
		return newNamedLine(d).line, nil
	case chosen == nil:
		return nil, cli.Exit(fmt.Sprintf("--format %q: use one of %s", name, formatNames), exitUsage)
	case name == format.Names()[0]:
		return func(payload []byte) ([]byte, error) { return payload, nil }, nil // whatever it is
	case cmd.Bool("messages"):
		return nil, cli.Exit("--format is for records; messages are shown as they are", exitUsage)
	}
	return chosen, nil
}

// messageLine is a message as JSON, with the fields of the stream in their order.
func messageLine(m engine.Message) []byte {
	line := struct {
		TS       string `json:"ts"`
		DeviceID string `json:"device_id"`
		Codec    string `json:"codec"`
		Type     byte   `json:"type"`
		Sent     string `json:"sent"`
		Payload  string `json:"payload"`
	}{
		TS: timeText(m.Received), DeviceID: m.DeviceID, Codec: m.Codec, Type: m.Type, Payload: hex.EncodeToString(m.Payload),
	}
	if !m.Sent.IsZero() {
		line.Sent = timeText(m.Sent)
	}
	b, err := json.Marshal(line)
	if err != nil {
		panic(err) // there are only texts and a number
	}
	return b
}

// timeText is a time as in published records.
func timeText(t time.Time) string { return string(record.AppendTime(nil, t.UnixMilli())) }
