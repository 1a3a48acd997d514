package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"unicode"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
)

// simulateCommand drives a fleet of simulated trackers against an address. Exit code 0 says that everything sent
// is acknowledged, 1 that it is not.
func simulateCommand() *cli.Command {
	o := simulate.Defaults()
	return &cli.Command{
		Name:  "simulate",
		Usage: "drive a fleet of simulated trackers against an address",
		Description: "Prints what the fleet was promised: how many records were sent and acknowledged, how fast, and\n" +
			"what went wrong. Runs until --duration is over, --records are acknowledged, or SIGINT or\n" +
			"SIGTERM.",
		Flags:  slices.Concat(simulateFlags(&o), simulatedTransportFlags(&o), simulatedCommandFlags(&o)),
		Action: func(ctx context.Context, cmd *cli.Command) error { return runSimulate(ctx, cmd, o) },
	}
}

func simulateFlags(o *simulate.Options) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "address", Destination: &o.Address, Value: "127.0.0.1:5027",
			Usage: "`host:port` of the server"},
		&cli.IntFlag{Name: "devices", Destination: &o.Devices, Value: o.Devices,
			Usage: "trackers, each with one connection (udp: one socket)"},
		&cli.DurationFlag{Name: "duration", Destination: &o.Duration, Usage: "end after this time (0: no limit)"},
		&cli.Int64Flag{Name: "records", Destination: &o.Records,
			Usage: "end after this many acknowledged records (0: no limit)"},
		&cli.FloatFlag{Name: "rate", Destination: &o.Rate,
			Usage: "records a second of the whole fleet (0: as fast as the ACKs allow, with records of the past week)"},
		&cli.StringFlag{Name: "records-per-frame", Value: o.RecordsPerFrame.String(),
			Usage: "number or `range` like 1-35, at most 255 (udp: as far as 1300 bytes hold them)"},
		&cli.StringFlag{Name: "codec", Value: o.Codecs.String(), Usage: "codecs and their weights, a `mix` of 8, 8E and 16"},
		&cli.StringFlag{Name: "order", Value: string(o.Order), Usage: "newest-first or oldest-first"},
		&cli.FloatFlag{Name: "reconnect", Destination: &o.Reconnect,
			Usage: "`probability` that a device drops its connection after an ACK"},
		&cli.IntFlag{Name: "burst", Destination: &o.Burst,
			Usage: "records gathered in the coverage gap before such a reconnection"},
		&cli.FloatFlag{Name: "lose-ack", Destination: &o.LoseACK,
			Usage: "`probability` that the connection is lost between a frame and its ACK"},
		&cli.IntFlag{Name: "backlog", Destination: &o.Backlog, Value: o.Backlog,
			Usage: "most records that a device keeps before it sends them"},
		&cli.DurationFlag{Name: "keepalive", Destination: &o.KeepAlive,
			Usage: "an idle device sends FF this often (0: never)"},
		&cli.DurationFlag{Name: "response-timeout", Destination: &o.ResponseTimeout, Value: o.ResponseTimeout,
			Usage: "without an answer for so long a device reconnects (udp: does not) and sends again"},
		&cli.DurationFlag{Name: "retry", Destination: &o.Retry, Value: o.Retry,
			Usage: "pause after a failed connection; doubles up to 8 times that"},
		&cli.DurationFlag{Name: "drain", Destination: &o.Drain, Value: o.Drain,
			Usage: "how long the ended run waits for the ACKs of what was sent"},
		&cli.FloatFlag{Name: "ramp", Destination: &o.Ramp, Value: o.Ramp,
			Usage: "connections a second at the start (0: all at once)"},
		&cli.StringFlag{Name: "source-addresses", Value: "0",
			Usage: "connect from these addresses, with commas between, or from 127.0.0.1 and so many from there (0: as needed)"},
		&cli.Uint64Flag{Name: "seed", HideDefault: true,
			Usage: "everything random follows from it (default another one each time, which is printed)"},
		&cli.Uint64Flag{Name: "imei-base", Destination: &o.IMEIBase, Value: o.IMEIBase,
			Usage: "the first device's `IMEI`; the others count up from it"},
		&cli.StringFlag{Name: "ledger", Usage: "append the id of every acknowledged record to this `file`"},
		&cli.BoolFlag{Name: "json", Usage: "print the result as JSON"},
		&cli.BoolFlag{Name: "quiet", Usage: "no progress lines on stderr"},
	}
}

// simulatedCommandFlags say what the trackers do about commands, and what they say of their own accord.
func simulatedCommandFlags(o *simulate.Options) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "command-latency", Value: o.CommandLatency.String(),
			Usage: "a command is answered after this time, a duration or a `range` like 50ms-2s"},
		&cli.FloatFlag{Name: "command-silence", Destination: &o.CommandSilence,
			Usage: "`share` of commands that are executed and never answered"},
		&cli.FloatFlag{Name: "command-late", Destination: &o.CommandLate,
			Usage: "`share` of commands that are answered late"},
		&cli.DurationFlag{Name: "command-late-by", Destination: &o.CommandLateBy, Value: o.CommandLateBy,
			Usage: "after this time"},
		&cli.FloatFlag{Name: "command-nack", Destination: &o.CommandNack,
			Usage: "`share` of Codec 14 commands that are refused with a nACK"},
		&cli.FloatFlag{Name: "command-twice", Destination: &o.CommandTwice,
			Usage: "`share` of commands that are answered twice"},
		&cli.FloatFlag{Name: "command-carry", Destination: &o.CommandCarry, Value: o.CommandCarry,
			Usage: "`probability` that an answer goes out on the next connection if this one ends before it"},
		&cli.BoolFlag{Name: "command-ignore-unknown", Destination: &o.CommandIgnoreUnknown,
			Usage: "do not answer commands that a device does not know"},
		&cli.StringFlag{Name: "command-ledger",
			Usage: "append every command that a device has executed to this `file`, as JSON"},
		&cli.FloatFlag{Name: "messages", Destination: &o.Messages,
			Usage: "messages that each device sends of its own accord, a minute"},
		&cli.StringFlag{Name: "messages-ledger",
			Usage: "append to this `file` IMEI and payload of every message before an acknowledged frame: it must be stored"},
	}
}

func runSimulate(ctx context.Context, cmd *cli.Command, options simulate.Options) error {
	if err := completeOptions(cmd, &options); err != nil {
		return cli.Exit(err.Error(), exitUsage)
	}
	for flag, list := range map[string]*io.Writer{
		"ledger": &options.Acknowledged, "command-ledger": &options.Executed, "messages-ledger": &options.Confirmed,
	} {
		if path := cmd.String(flag); path != "" {
			file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
			if err != nil {
				return cli.Exit(fmt.Sprintf("%s: %v", flag, err), exitUsage)
			}
			defer file.Close()
			*list = file
		}
	}
	ctx, release := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer release()
	defer context.AfterFunc(ctx, release)() // a second signal ends the process at once
	ledger, err := simulate.Run(ctx, options)
	if err == nil {
		err = printLedger(cmd.Root().Writer, ledger, cmd.Bool("json"))
	}
	switch {
	case err != nil:
		return cli.Exit(err.Error(), exitFailure)
	case ledger.RecordsSent+ledger.CommandsReceived == 0:
		why := cmp.Or(ledger.LastFailure, "the run ended before anything was due")
		return cli.Exit("nothing was sent: "+why, exitFailure)
	case !ledger.OK():
		return cli.Exit("not everything sent is acknowledged, or an answer was wrong", exitFailure)
	}
	return nil
}

// completeOptions reads the flags whose texts are more than a number or a time. The error names all that are wrong.
func completeOptions(cmd *cli.Command, o *simulate.Options) error {
	o.Seed, o.Order = seedOf(cmd), simulate.Order(cmd.String("order"))
	errs := []error{
		parseFlag(cmd, "records-per-frame", &o.RecordsPerFrame, simulate.ParseRange),
		parseFlag(cmd, "codec", &o.Codecs, simulate.ParseMix),
		parseFlag(cmd, "command-latency", &o.CommandLatency, simulate.ParseDurationRange),
		parseFlag(cmd, "source-addresses", &o.Sources, simulate.ParseSources),
		setTransportOptions(o, cmd),
	}
	if !cmd.Bool("quiet") {
		o.Progress = cmd.Root().ErrWriter
	}
	if err := o.Validate(); err != nil {
		errs = append(errs, nameFlags(err))
	}
	return errors.Join(errs...)
}

// parseFlag sets an option. One that cannot be read stays as it is, so that it is not named twice.
func parseFlag[T any](cmd *cli.Command, flag string, option *T, parse func(string) (T, error)) error {
	value, err := parse(cmd.String(flag))
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	*option = value
	return nil
}

// seedOf is a seed of its own for each run, so that no run sends the records of another one. It is short enough to be
// typed.
func seedOf(cmd *cli.Command) uint64 {
	if cmd.IsSet("seed") {
		return cmd.Uint64("seed")
	}
	return uint64(rand.Uint32())
}

// nameFlags puts the flags in the place of the fields that an error of simulate.Options names.
func nameFlags(err error) error {
	var errs []error
	for _, e := range err.(interface{ Unwrap() []error }).Unwrap() {
		var option *simulate.OptionError
		if errors.As(e, &option) {
			e = fmt.Errorf("%s: %s", flagOf(option.Field), option.Problem)
		}
		errs = append(errs, e)
	}
	return errors.Join(errs...)
}

func flagOf(field string) string {
	switch field {
	case "Codecs":
		return "codec"
	case "KeepAlive":
		return "keepalive"
	case "IMEIBase":
		return "imei-base"
	case "TLS":
		return "tls"
	case "LoseACK":
		return "lose-ack"
	case "Sources":
		return "source-addresses"
	}
	var flag strings.Builder
	for i, c := range field {
		if i > 0 && unicode.IsUpper(c) {
			flag.WriteByte('-')
		}
		flag.WriteRune(unicode.ToLower(c))
	}
	return flag.String()
}

func printLedger(w io.Writer, ledger simulate.Ledger, asJSON bool) error {
	if !asJSON {
		return ledger.WriteText(w)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(ledger)
}
