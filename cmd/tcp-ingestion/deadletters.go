package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/deadletter"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/explain"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/teltonikasession"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

const deadLettersDescription = `Frames that could not be published were acknowledged and kept as dead letters. Once
this program can decode them, replay publishes their records as received at that time, and removes them. REF is the
first column of list.
The service may run meanwhile, and replay may be run again: what is stored is removed. If it is killed between the
two, Redis gets the records of one dead letter a second time; the embedded engine recognises them. Messages, which
have no id, are stored a second time by both.
Exit codes: 0 all done, 1 some failed or remain, 2 wrong usage, 78 wrong settings.`

var deadLetterReasons = strings.Join(teltonikasession.DeadLetterReasons(), " or ")

func deadLettersCommand() *cli.Command {
	device := &cli.StringFlag{Name: "device", Usage: "only those of this device (IMEI)"}
	reason := &cli.StringFlag{Name: "reason", Usage: "only those with this reason: " + deadLetterReasons}
	all := &cli.BoolFlag{Name: "all", Usage: "all of them, as far as --device and --reason leave"}
	settings := slices.Concat(engineSettings, meaningSettings, []string{"PUBLISH_TIMEOUT", "RECORD_RAW"})
	sub := func(name, usage, args string, action deadLettersAction, flags ...cli.Flag) *cli.Command {
		return &cli.Command{
			Name: name, Usage: usage, ArgsUsage: args, Action: onDeadLetters(action), OnUsageError: usageError,
			Flags: append(flags, settingFlagsWith(besideTheService, settings...)...),
		}
	}
	return &cli.Command{
		Name:        "deadletters",
		Usage:       "list, explain, replay and delete frames that could not be published",
		Description: deadLettersDescription,
		Commands: []*cli.Command{
			sub("list", "one line each, oldest first", " ", listDeadLetters, device, reason,
				&cli.BoolFlag{Name: "json", Usage: "one JSON object each"},
				&cli.IntFlag{Name: "limit", Usage: "so many at the most (0: all)"}),
			sub("show", "explain frames byte by byte", "REF...", showDeadLetters),
			sub("replay", "publish the records of frames that can be decoded now", "[REF...]", replayDeadLetters, device, reason,
				all,
				&cli.BoolFlag{Name: "dry-run", Usage: "say what would happen and change nothing"}),
			sub("delete", "delete without publishing", "[REF...]", deleteDeadLetters, device, reason, all,
				&cli.BoolFlag{Name: "yes", Usage: "really delete"}),
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

// deadLettersJob is one run of a subcommand.
type deadLettersJob struct {
	cmd       *cli.Command
	config    *config.Config
	engine    engine.Engine
	letters   engine.DeadLetterStore // of the engine
	logger    *slog.Logger
	out       io.Writer
	selection deadletter.Selection
	failed    int // dead letters that remain although they should not
}

type deadLettersAction func(context.Context, *deadLettersJob) error

// onDeadLetters opens the engine for an action, and makes the exit code of what it left.
func onDeadLetters(action deadLettersAction) cli.ActionFunc {
	return func(ctx context.Context, cmd *cli.Command) error {
		selection, err := selectDeadLetters(cmd)
		if err != nil {
			return err
		}
		c, e, logger, err := openEngine(cmd)
		if err != nil {
			return err
		}
		defer e.Close()
		letters, err := able[engine.DeadLetterStore](e, c, "show its dead letters")
		if err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		job := &deadLettersJob{cmd: cmd, config: c, engine: e, letters: letters, logger: logger, out: cmd.Root().Writer,
			selection: selection}
		if err := action(ctx, job); err != nil {
			return cli.Exit(err.Error(), exitFailure)
		}
		if job.failed > 0 {
			return cli.Exit("", exitFailure)
		}
		return nil
	}
}

// selectDeadLetters reads which ones are meant. Where something changes, none is meant by accident.
func selectDeadLetters(cmd *cli.Command) (deadletter.Selection, error) {
	s := deadletter.Selection{
		Refs: cmd.Args().Slice(), DeviceID: cmd.String("device"), Reason: cmd.String("reason"), Limit: cmd.Int("limit"),
	}
	wrong := func(text string) (deadletter.Selection, error) {
		return s, cli.Exit(text+"; see tcp-ingestion deadletters "+cmd.Name+" --help", exitUsage)
	}
	switch named := len(s.Refs) > 0; {
	case cmd.Name == "list" && named:
		return wrong("list takes no references")
	case s.Reason != "" && !slices.Contains(teltonikasession.DeadLetterReasons(), s.Reason):
		return wrong(fmt.Sprintf("--reason %q: use %s", s.Reason, deadLetterReasons))
	case s.DeviceID != "" && !isDeviceID(s.DeviceID):
		return wrong(fmt.Sprintf("--device %q: %s", s.DeviceID, useDeviceID))
	case s.Limit < 0:
		return wrong("--limit is negative")
	case cmd.Name == "show" && !named:
		return wrong("which dead letters? Give the first column of list")
	case (cmd.Name == "replay" || cmd.Name == "delete") && named == cmd.Bool("all"):
		return wrong("which dead letters? Give either references or --all")
	case cmd.Name == "delete" && !cmd.Bool("yes"):
		return wrong("deleted frames are gone for good: add --yes")
	}
	return s, nil
}

// each calls fn with the selected dead letters. References that are not found count as failed.
func (j *deadLettersJob) each(ctx context.Context, fn func(*deadletter.Letter) error) error {
	missing, err := j.selection.Each(ctx, j.letters, func(l deadletter.Letter) error { return fn(&l) })
	if err != nil {
		return err
	}
	for _, ref := range missing {
		fmt.Fprintf(j.cmd.Root().ErrWriter, "%s: there is no such dead letter\n", ref)
		j.failed++
	}
	return nil
}

func listDeadLetters(ctx context.Context, j *deadLettersJob) error {
	line := func(l *deadletter.Letter) error {
		_, err := fmt.Fprintf(j.out, "%-18s  %s  %-16s  %-13s  %-3s  codec %-4s  %5d bytes  %s claimed\n",
			terminal.Line(l.Ref), receivedText(l), terminal.Line(l.DeviceID), terminal.Line(l.Reason),
			cmp.Or(terminal.Line(l.Transport), "-"), terminal.Line(l.Codec), len(l.Frame),
			plural(l.Claimed(), "record"))
		return err
	}
	if j.cmd.Bool("json") {
		encoder := json.NewEncoder(j.out)
		line = func(l *deadletter.Letter) error {
			return encoder.Encode(l.Listed())
		}
	}
	return j.each(ctx, line)
}

// receivedText is when the frame came, as in published records.
func receivedText(l *deadletter.Letter) string {
	return timeText(l.Received)
}

func showDeadLetters(ctx context.Context, j *deadLettersJob) error {
	var devices explain.Devices
	return j.each(ctx, func(l *deadletter.Letter) error {
		fmt.Fprintf(j.out, "dead letter %s of device %s, received %s, reason %s\n",
			terminal.Line(l.Ref), terminal.Line(l.DeviceID), receivedText(l), terminal.Line(l.Reason))
		transport := cmp.Or(explain.Transport(l.Transport), explain.Auto)
		for packet := range devices.PacketsOf(l.DeviceID, l.Frame, transport) {
			if err := packet.WriteText(j.out); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintln(j.out)
		return err
	})
}

func deleteDeadLetters(ctx context.Context, j *deadLettersJob) error {
	deleted := 0
	err := j.each(ctx, func(l *deadletter.Letter) error {
		deleted++
		return j.letters.RemoveDeadLetters(ctx, []string{l.Ref})
	})
	fmt.Fprintf(j.out, "%d deleted\n", deleted)
	return err
}

// deadLettersReplay is a replay and what it has come to.
type deadLettersReplay struct {
	*deadLettersJob
	deadletter.Replayer
	done, published, duplicates, messages int
}

func replayDeadLetters(ctx context.Context, j *deadLettersJob) error {
	r := deadLettersReplay{deadLettersJob: j, Replayer: deadletter.Replayer{Raw: j.config.RecordRaw}}
	var err error
	if r.Meaning, err = meaningOfDevices(ctx, j.config, j.logger); err != nil {
		return err
	}
	verb := "can be replayed"
	if !j.cmd.Bool("dry-run") {
		verb = "replayed"
		r.Publisher = publish.New(publish.Options{
			Engine: j.engine, Capacity: j.config.PublishQueueCapacity, LargestFrame: teltonika.MaxRecords,
			Timeout: j.config.PublishTimeout,
			Metrics: publish.NewMetrics(prometheus.NewRegistry()), Logger: j.logger,
		})
		defer r.Publisher.Close()
	}
	err = j.each(ctx, func(l *deadletter.Letter) error { return r.one(ctx, l) })
	messages := ""
	if r.messages > 0 {
		messages = "; " + plural(r.messages, "message")
	}
	fmt.Fprintf(j.out, "%d %s: %s published, %d stored before%s; %d failed\n",
		r.done, verb, plural(r.published, "record"), r.duplicates, messages, j.failed)
	return err
}

// one replays one dead letter and removes it. It fails only if going on makes no sense.
func (r *deadLettersReplay) one(ctx context.Context, l *deadletter.Letter) error {
	outcome, err := r.Settle(ctx, r.letters, l)
	if errors.Is(err, deadletter.ErrNotStored) || errors.Is(err, deadletter.ErrNotRemoved) {
		return fmt.Errorf("%s: %w", l.Ref, err)
	}
	if err != nil {
		r.failed++
		_, err = fmt.Fprintf(r.out, "%s stays: %v\n", l.Ref, err)
		return err
	}
	if outcome.DeadLettered > 0 {
		r.failed++
		fmt.Fprintf(r.out, "%s has a record beyond the year 9999 and stays for it, as a new dead letter\n", l.Ref)
	}
	r.done++
	r.published += outcome.Published
	r.duplicates += outcome.Duplicates
	r.messages += outcome.Messages
	return nil
}
