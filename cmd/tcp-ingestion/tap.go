package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/admin"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
)

func tapCommand() *cli.Command {
	return &cli.Command{
		Name:  "tap",
		Usage: "show packets as they come and go, explained byte by byte",
		Description: "Asks the server through its API at --admin-address, of several instances only that one: what\n" +
			"comes to another is not seen. Each packet is shown once it is known what has become of it, with the\n" +
			"answer that the device got, and explained as decode does it. Where devices are is hidden unless\n" +
			"--positions asks for it. The server logs who taps. No device waits for a tap: what is too much for it\n" +
			"is left out and counted. Runs until Ctrl-C.\n" +
			"Exit codes: 0 ended or enough, 1 the server has stopped or refuses, 2 wrong usage, 69 no server answers,\n" +
			"78 wrong settings.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "imei", Usage: "only this device's"},
			&cli.StringFlag{Name: "address", Usage: "only from this address, or this network such as 198.51.100.0/24"},
			&cli.StringFlag{Name: "transport", Usage: "only by tcp, tls or udp, or what strangers send to http or admin"},
			&cli.StringFlag{Name: "outcome", Usage: "only what has come to one of these, with commas between them: " +
				strings.ReplaceAll(admin.OutcomeNames(tap.Outcomes), ",", ", ")},
			&cli.BoolFlag{Name: "strangers", Usage: "only the first bytes of those who knock and do not log in, at any port"},
			&cli.BoolFlag{Name: "positions", Usage: "show where devices are too"},
			&cli.BoolFlag{Name: "json", Usage: "one JSON object each, with that of decode --json in it"},
			&cli.IntFlag{Name: "count", Usage: "end after so many packets (0: never)"},
			&cli.DurationFlag{Name: "for", Usage: "end after this time", DefaultText: "the longest, 24h"},
		}, settingFlags(adminSettings...)...),
		Action: tapPackets,
	}
}

func tapPackets(ctx context.Context, cmd *cli.Command) error {
	view, err := tapView(cmd)
	if err != nil {
		return usageError(ctx, cmd, err, true)
	}
	client, err := adminClient(cmd)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	p := &tapPrinter{out: cmd.Root().Writer, json: cmd.Bool("json")}
	for e, err := range client.Tap(ctx, view) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return tapFailed(client, err)
		}
		if err := p.print(&e); err != nil {
			return cli.Exit(err.Error(), exitFailure)
		}
		switch {
		case e.Packet == nil && e.Dropped == 0 && !p.json:
			fmt.Fprintf(cmd.Root().ErrWriter, "tapping %s; Ctrl-C ends\n", client.URL())
		case p.shown > 0 && p.shown == cmd.Int("count"):
			return nil
		}
	}
	return nil
}

// tapView is what the flags ask for.
func tapView(cmd *cli.Command) (v *admin.TapView, err error) {
	v = &admin.TapView{Filter: tap.Filter{IMEI: cmd.String("imei"), Transport: cmd.String("transport"),
		Strangers: cmd.Bool("strangers")}, Positions: cmd.Bool("positions"), Explain: "text", For: admin.MaxTap}
	if cmd.Bool("json") {
		v.Explain = "json"
	}
	if v.Transport != "" && !slices.Contains(admin.Transports, v.Transport) {
		return nil, fmt.Errorf("--transport %q: use %s", v.Transport, strings.Join(admin.Transports, ", "))
	}
	if v.IMEI != "" && !isDeviceID(v.IMEI) {
		return nil, fmt.Errorf("--imei %q: %s", v.IMEI, useDeviceID)
	}
	if address := cmd.String("address"); address != "" {
		if v.Network, err = admin.ParseNetwork(address); err != nil {
			return nil, fmt.Errorf("--address %q: %w", address, err)
		}
	}
	if outcome := cmd.String("outcome"); outcome != "" {
		if v.Outcomes, err = admin.ParseOutcomes(outcome); err != nil {
			return nil, fmt.Errorf("--outcome %q: %w", outcome, err)
		}
	}
	if cmd.IsSet("for") {
		if v.For = cmd.Duration("for"); v.For < time.Millisecond || v.For > admin.MaxTap {
			return nil, fmt.Errorf("--for %v: use 1ms to %v", v.For, admin.MaxTap)
		}
	}
	if cmd.Int("count") < 0 {
		return nil, errors.New("--count: use 0 or more")
	}
	return v, nil
}

// tapFailed is nil if the tap has lasted for as long as it was to.
func tapFailed(client *admin.Client, err error) error {
	var ended *admin.TapEnded
	switch {
	case !errors.As(err, &ended):
		return askFailed(client, err)
	case ended.Over():
		return nil
	}
	return cli.Exit(fmt.Sprintf("%s: %v", client.URL(), terminal.Line(ended.Error())), exitFailure)
}

// tapPrinter prints the events of a tap.
type tapPrinter struct {
	out   io.Writer
	json  bool
	shown int // packets
}

func (p *tapPrinter) print(e *admin.TapEvent) error {
	var text string
	switch {
	case e.Packet == nil && e.Dropped == 0:
		return nil
	case p.json:
		text = string(e.JSON) + "\n"
	case e.Packet == nil:
		text = fmt.Sprintf("%s left out here\n\n", plural(int(e.Dropped), "packet"))
	default:
		text = packetText(e.Packet) + "\n"
	}
	if e.Packet != nil {
		p.shown++
	}
	_, err := io.WriteString(p.out, text)
	return err
}

// packetText is a line of what is known of the packet beside its bytes, and what those say.
func packetText(p *admin.TapPacket) string {
	var line strings.Builder
	fmt.Fprintf(&line, "%s %s %s", p.Time.UTC().Format("15:04:05.000Z"), p.Direction, p.Kind)
	for _, known := range []string{p.IMEI, p.Address, p.Transport} {
		if known != "" {
			line.WriteString(" " + known)
		}
	}
	fmt.Fprintf(&line, ": %s", strings.ReplaceAll(string(p.Outcome), "_", " "))
	if p.Reason != "" {
		fmt.Fprintf(&line, " (%s)", p.Reason)
	}
	if p.Answer != "" {
		fmt.Fprintf(&line, ", answered %s after %v ms", p.Answer, p.AnswerMS)
	}
	text := terminal.Line(line.String()) + "\n"
	if p.Error != "" {
		text += terminal.Line("error: "+p.Error) + "\n"
	}
	if shown := len(p.Hex) / 2; shown < p.Size {
		text += fmt.Sprintf("the first %d of %s\n", shown, plural(p.Size, "byte"))
	}
	return text + p.Text
}
