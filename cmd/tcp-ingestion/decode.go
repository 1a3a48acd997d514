package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/explain"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
)

const decodeDescription = `Takes packets of Teltonika devices apart, byte by byte, and says what the server answers.
Packets are given in hex as arguments, or one a line on standard input, where blank lines and lines that start with #
are skipped. White space, colons and 0x within a packet are ignored. A TCP packet may be a whole capture:
keep-alive bytes, login and frames back to back.

Elements have the names and units of the records' signals. What an element means may depend on the device's family,
which no packet says: it is told from the elements of the packet and of those before it that are surely of the same
device, unless --family or --model says it. Where the families that it may be do not agree, all meanings are listed.

Exit codes: 0 all packets are ok, 1 at least one is not, 2 wrong usage, 78 a wrong file of own definitions.`

// decodeCommand explains packets as text or, with --json, as one object a line.
func decodeCommand() *cli.Command {
	return &cli.Command{
		Name:            "decode",
		Usage:           "explain packets given in hex",
		ArgsUsage:       "[HEX...]",
		Description:     decodeDescription,
		HideHelpCommand: true, // "h" and "help" are arguments, if bad ones
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "transport", Value: string(explain.Auto),
				Usage: "how the packets travelled: tcp, udp or auto"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object a packet"},
			overridesFlag(),
		}, familyFlags("the packets are from devices of")...),
		Action: decode,
	}
}

func decode(ctx context.Context, cmd *cli.Command) error {
	transport := explain.Transport(cmd.String("transport"))
	switch transport {
	case explain.TCP, explain.UDP, explain.Auto:
	default:
		return cli.Exit(fmt.Sprintf("--transport is %q, expected tcp, udp or auto", transport), exitUsage)
	}
	identity, err := identityOf(cmd)
	if err != nil {
		return err
	}
	dictionary, err := dictionaryOf(ctx, cmd)
	if err != nil {
		return err
	}
	d := &packetPrinter{
		out: bufio.NewWriter(cmd.Root().Writer), transport: transport, json: cmd.Bool("json"),
		devices: explain.Devices{Dictionary: dictionary, Identity: identity},
	}
	if !cmd.Args().Present() && terminal.IsTerminal(cmd.Root().Reader) {
		fmt.Fprintln(cmd.Root().ErrWriter, "waiting for packets in hex, one a line; Ctrl-D ends")
	}
	err = d.printAll(cmd.Args().Slice(), cmd.Root().Reader)
	if err == nil && d.bad {
		return cli.Exit("", exitFailure) // each bad packet has said why
	}
	return err
}

// packetPrinter prints the packets of one run.
type packetPrinter struct {
	out       *bufio.Writer
	transport explain.Transport
	json      bool
	devices   explain.Devices
	bad       bool // a packet was not ok
	begun     bool // a packet is printed already
}

// printAll prints the packets of the arguments or, if there are none, of the input.
func (d *packetPrinter) printAll(args []string, input io.Reader) error {
	if len(args) == 0 {
		return d.printLines(bufio.NewReader(input))
	}
	for i, arg := range args {
		label := ""
		if len(args) > 1 {
			label = fmt.Sprintf("argument %d: ", i+1)
		}
		if err := d.printLine(label, arg); err != nil {
			return err
		}
	}
	return nil
}

// printLines prints the packets of lines as they come.
func (d *packetPrinter) printLines(input *bufio.Reader) error {
	for n := 1; ; n++ {
		line, err := input.ReadString('\n') // not a Scanner, which limits the line
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read packets: %w", err)
		}
		if text := strings.TrimSpace(line); text != "" && text[0] != '#' {
			if err := d.printLine(fmt.Sprintf("line %d: ", n), line); err != nil {
				return err
			}
		}
		if err != nil {
			return nil
		}
	}
}

// printLine prints the packets of one line or argument, and flushes: whoever feeds us waits for the answer.
func (d *packetPrinter) printLine(label, text string) error {
	for packet := range d.devices.Line(text, d.transport) {
		d.bad = d.bad || !packet.OK()
		if err := d.print(label, packet); err != nil {
			return fmt.Errorf("write packets: %w", err)
		}
	}
	return d.out.Flush()
}

func (d *packetPrinter) print(label string, packet *explain.Packet) error {
	if d.json {
		return packet.WriteJSON(d.out)
	}
	if d.begun {
		fmt.Fprintln(d.out)
	}
	d.begun = true
	fmt.Fprint(d.out, label)
	return packet.WriteText(d.out)
}
