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
	return &cli.Command{
		Name:  "simulate",
		Usage: "drive a fleet of simulated trackers against an address",
		Description: "Prints what the fleet was promised: how many records were sent and acknowledged, how fast, and\n" +
			"what went wrong. Runs until --duration is over, --records are acknowledged, or SIGINT or\n" +
			"SIGTERM.",
		Flags:  slices.Concat(simulateFlags(), simulatedTransportFlags(), simulatedCommandFlags()),
		Action: runSimulate,
	}
}

func simulateFlags() []cli.Flag {
	d := simulate.Defaults()
	return []cli.Flag{
		&cli.StringFlag{Name: "address", Value: "127.0.0.1:5027", Usage: "`host:port` of the server"},
		&cli.IntFlag{Name: "devices", Value: d.Devices, Usage: "trackers, each with one connection (udp: one socket)"},
		&cli.DurationFlag{Name: "duration", Usage: "end after this time (0: no limit)"},
		&cli.Int64Flag{Name: "records", Usage: "end after this many acknowledged records (0: no limit)"},
		&cli.FloatFlag{Name: "rate",
			Usage: "records a second of the whole fleet (0: as fast as the ACKs allow, with records of the past week)"},
		&cli.StringFlag{Name: "records-per-frame", Value: d.RecordsPerFrame.String(),
			Usage: "number or `range` like 1-35, at most 255 (udp: as far as 1300 bytes hold them)"},
		&cli.StringFlag{Name: "codec", Value: d.Codecs.String(), Usage: "codecs and their weights, a `mix` of 8, 8E and 16"},
		&cli.StringFlag{Name: "order", Value: string(d.Order), Usage: "newest-first or oldest-first"},
		&cli.FloatFlag{Name: "reconnect", Usage: "`probability` that a device drops its connection after an ACK"},
		&cli.IntFlag{Name: "burst", Usage: "records gathered in the coverage gap before such a reconnection"},
		&cli.FloatFlag{Name: "lose-ack", Usage: "`probability` that the connection is lost between a frame and its ACK"},
		&cli.IntFlag{Name: "backlog", Value: d.Backlog, Usage: "most records that a device keeps before it sends them"},
		&cli.DurationFlag{Name: "keepalive", Usage: "an idle device sends FF this often (0: never)"},
		&cli.DurationFlag{Name: "response-timeout", Value: d.ResponseTimeout,
			Usage: "without an answer for so long a device reconnects (udp: does not) and sends again"},
		&cli.DurationFlag{Name: "retry", Value: d.Retry,
			Usage: "pause after a failed connection; doubles up to 8 times that"},
		&cli.DurationFlag{Name: "drain", Value: d.Drain, Usage: "how long the ended run waits for the ACKs of what was sent"},
		&cli.FloatFlag{Name: "ramp", Value: d.Ramp, Usage: "connections a second at the start (0: all at once)"},
		&cli.IntFlag{Name: "source-addresses",
			Usage: "connect from 127.0.0.1 and so many addresses from there (0: as needed)"},
		&cli.Uint64Flag{Name: "seed", HideDefault: true,
			Usage: "everything random follows from it (default another one each time, which is printed)"},
		&cli.Uint64Flag{Name: "imei-base", Value: d.IMEIBase,
			Usage: "the first device's `IMEI`; the others count up from it"},
		&cli.StringFlag{Name: "ledger", Usage: "append the id of every acknowledged record to this `file`"},
		&cli.BoolFlag{Name: "json", Usage: "print the result as JSON"},
		&cli.BoolFlag{Name: "quiet", Usage: "no progress lines on stderr"},
	}
}

// simulatedCommandFlags say what the trackers do about commands, and what they say of their own accord.
func simulatedCommandFlags() []cli.Flag {
	d := simulate.Defaults()
	return []cli.Flag{
		&cli.StringFlag{Name: "command-latency", Value: d.CommandLatency.String(),
			Usage: "a command is answered after this time, a duration or a `range` like 50ms-2s"},
		&cli.FloatFlag{Name: "command-silence", Usage: "`share` of commands that are executed and never answered"},
		&cli.FloatFlag{Name: "command-late", Usage: "`share` of commands that are answered late"},
		&cli.DurationFlag{Name: "command-late-by", Value: d.CommandLateBy, Usage: "after this time"},
		&cli.FloatFlag{Name: "command-nack", Usage: "`share` of Codec 14 commands that are refused with a nACK"},
		&cli.FloatFlag{Name: "command-twice", Usage: "`share` of commands that are answered twice"},
		&cli.FloatFlag{Name: "command-carry", Value: d.CommandCarry,
			Usage: "`probability` that an answer goes out on the next connection if this one ends before it"},
		&cli.BoolFlag{Name: "command-ignore-unknown", Usage: "do not answer commands that a device does not know"},
		&cli.StringFlag{Name: "command-ledger",
			Usage: "append every command that a device has executed to this `file`, as JSON"},
		&cli.FloatFlag{Name: "messages", Usage: "messages that each device sends of its own accord, a minute"},
		&cli.StringFlag{Name: "messages-ledger",
			Usage: "append to this `file` IMEI and payload of every message before an acknowledged frame: it must be stored"},
	}
}

func runSimulate(ctx context.Context, cmd *cli.Command) error {
	options, err := simulateOptions(cmd)
	if err != nil {
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

// simulateOptions reads the flags. The error names all that are wrong.
func simulateOptions(cmd *cli.Command) (simulate.Options, error) {
	perFrame, rangeErr := simulate.ParseRange(cmd.String("records-per-frame"))
	codecs, mixErr := simulate.ParseMix(cmd.String("codec"))
	var errs []error
	if rangeErr != nil {
		errs = append(errs, fmt.Errorf("records-per-frame: %w", rangeErr))
		perFrame = simulate.Defaults().RecordsPerFrame
	}
	if mixErr != nil {
		errs = append(errs, fmt.Errorf("codec: %w", mixErr))
		codecs = simulate.Defaults().Codecs
	}
	o := simulate.Options{
		Address:         cmd.String("address"),
		Devices:         cmd.Int("devices"),
		Seed:            seedOf(cmd),
		Duration:        cmd.Duration("duration"),
		Records:         cmd.Int64("records"),
		Rate:            cmd.Float("rate"),
		RecordsPerFrame: perFrame,
		Codecs:          codecs,
		Order:           simulate.Order(cmd.String("order")),
		Reconnect:       cmd.Float("reconnect"),
		Burst:           cmd.Int("burst"),
		LoseACK:         cmd.Float("lose-ack"),
		Backlog:         cmd.Int("backlog"),
		KeepAlive:       cmd.Duration("keepalive"),
		ResponseTimeout: cmd.Duration("response-timeout"),
		Retry:           cmd.Duration("retry"),
		Drain:           cmd.Duration("drain"),
		Ramp:            cmd.Float("ramp"),
		SourceAddresses: cmd.Int("source-addresses"),
		IMEIBase:        cmd.Uint64("imei-base"),
	}
	for _, set := range []func(*simulate.Options, *cli.Command) error{setTransportOptions, setCommandOptions} {
		if err := set(&o, cmd); err != nil {
			errs = append(errs, err)
		}
	}
	if !cmd.Bool("quiet") {
		o.Progress = cmd.Root().ErrWriter
	}
	if err := o.Validate(); err != nil {
		errs = append(errs, nameFlags(err))
	}
	return o, errors.Join(errs...)
}

// seedOf is a seed of its own for each run, so that no run sends the records of another one. It is short enough to be
// typed.
func seedOf(cmd *cli.Command) uint64 {
	if cmd.IsSet("seed") {
		return cmd.Uint64("seed")
	}
	return uint64(rand.Uint32())
}

func setCommandOptions(o *simulate.Options, cmd *cli.Command) error {
	o.CommandSilence = cmd.Float("command-silence")
	o.CommandLate = cmd.Float("command-late")
	o.CommandLateBy = cmd.Duration("command-late-by")
	o.CommandNack = cmd.Float("command-nack")
	o.CommandTwice = cmd.Float("command-twice")
	o.CommandCarry = cmd.Float("command-carry")
	o.CommandIgnoreUnknown = cmd.Bool("command-ignore-unknown")
	o.Messages = cmd.Float("messages")
	latency, err := simulate.ParseDurationRange(cmd.String("command-latency"))
	if err != nil {
		return fmt.Errorf("command-latency: %w", err)
	}
	o.CommandLatency = latency
	return nil
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
