package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/explain"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/paste"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/terminal"
)

const decodeDescription = `Takes packets of Teltonika devices apart, byte by byte, and says what the server answers.
Packets are given as arguments, or one a line on standard input, where blank lines and lines that start with # are
skipped. A TCP packet may be a whole capture: keep-alive bytes, login and frames back to back.

A packet is hex, with anything between its bytes, or what else people paste: the output of hexdump -C, xxd and tcpdump
-X, base64, literals of Go and Python, a Buffer of Node, lines of this service's and Traccar's log, records with
RECORD_RAW, lines of a table. A file of tcpdump or Wireshark (pcap, pcapng) on standard input, or named by an argument,
is put together by connection. What is a guess is said, as a comment or, with --json, on standard error.

Elements have the names and units of the records' signals. What an element means may depend on the device's family,
which no packet says: it is told from the elements of the packet and of those before it that are surely of the same
device, unless --family or --model says it. Where the families that it may be do not agree, all meanings are listed.

Exit codes: 0 all packets are ok, 1 at least one is not, 2 wrong usage, 78 a wrong file of own definitions.`

// decodeCommand explains packets as text or, with --json, as one object a line.
func decodeCommand() *cli.Command {
	return &cli.Command{
		Name:            "decode",
		Usage:           "explain packets given in hex, or as they are pasted",
		ArgsUsage:       "[HEX|FILE...]",
		Description:     decodeDescription,
		HideHelpCommand: true, // "h" and "help" are arguments, if bad ones
		Flags: slices.Concat([]cli.Flag{
			&cli.StringFlag{Name: "transport", Value: string(explain.Auto),
				Usage: "how the packets travelled: tcp, udp or auto"},
			&cli.BoolFlag{Name: "json", Usage: "print one JSON object a packet"},
		}, settingFlags(overridesSetting), familyFlags("the packets are from devices of")),
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
		notes:   cmd.Root().ErrWriter,
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
	notes     io.Writer // beside JSON
	devices   explain.Devices
	bad       bool // a packet was not ok
	begun     bool // a packet is printed already
}

// printAll prints the packets of the arguments or, if there are none, of the input.
func (d *packetPrinter) printAll(args []string, input io.Reader) error {
	if len(args) == 0 {
		return d.printInput("", bufio.NewReader(input))
	}
	for i, arg := range args {
		label := ""
		if len(args) > 1 {
			label = fmt.Sprintf("argument %d: ", i+1)
		}
		if err := d.printArgument(label, arg); err != nil {
			return err
		}
	}
	return nil
}

// printArgument prints the packets of an argument, or of the file that it names if it is nothing else.
func (d *packetPrinter) printArgument(label, arg string) error {
	if strings.ContainsRune(strings.TrimSpace(arg), '\n') {
		return d.printInput(label, bufio.NewReader(strings.NewReader(arg)))
	}
	piece := paste.Text(arg)
	if piece.Bytes == nil {
		if file, err := os.Open(arg); err == nil {
			defer file.Close()
			return d.printInput(arg+": ", bufio.NewReader(file))
		}
	}
	return d.printPieces(label, []paste.Piece{piece})
}

// printInput prints the packets of lines as they come, or of a sniffer's file.
func (d *packetPrinter) printInput(label string, input *bufio.Reader) error {
	if isCapture(input) {
		return d.printCapture(label, input)
	}
	var lines paste.Reader
	for {
		line, err := readLine(input)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read packets: %w", err)
		}
		found := lines.Add(line)
		if err != nil {
			found = append(found, lines.Flush()...)
		}
		if err := d.printPieces(label, found); err != nil {
			return err
		}
		if err != nil {
			return nil
		}
	}
}

// isCapture looks at no more than it has to: somebody may be typing.
func isCapture(input *bufio.Reader) bool {
	first, err := input.Peek(1)
	if err != nil || !paste.MayBeCapture(first[0]) {
		return false
	}
	magic, err := input.Peek(paste.MagicSize)
	return err == nil && paste.IsCapture(magic)
}

func (d *packetPrinter) printCapture(label string, input io.Reader) error {
	file, err := io.ReadAll(io.LimitReader(input, paste.MaxInput+1))
	if err != nil {
		return fmt.Errorf("read packets: %w", err)
	}
	if len(file) > paste.MaxInput {
		return fmt.Errorf("read packets: the file has more than %d bytes: cut it with editcap or tcpdump -r", paste.MaxInput)
	}
	found, broken := paste.Capture(file)
	if err := d.printPieces(label, found); err != nil || broken != nil {
		return cmp.Or(err, broken)
	}
	if len(found) == 0 {
		return errors.New("there is no packet of TCP or UDP with data in the capture")
	}
	return nil
}

// readLine returns a line with its end, and io.EOF with the last one.
func readLine(input *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := input.ReadSlice('\n')
		if line = append(line, part...); len(line) > paste.MaxInput {
			return "", fmt.Errorf("a line has more than %d bytes", paste.MaxInput)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return string(line), err
		}
	}
}

// printPieces prints the packets of each, and flushes: whoever feeds us waits for the answer.
func (d *packetPrinter) printPieces(label string, pieces []paste.Piece) error {
	for i := range pieces {
		p := &pieces[i]
		at := label
		if p.Line > 0 {
			at = fmt.Sprintf("%sline %d: ", label, p.Line)
		}
		if d.note(at, p); p.Skipped {
			continue
		}
		for packet := range d.packets(p) {
			d.bad = d.bad || !packet.OK()
			if err := d.print(at, packet); err != nil {
				return fmt.Errorf("write packets: %w", err)
			}
		}
	}
	return d.out.Flush()
}

// packets are those of the piece. One that is nothing known has an error that says so.
func (d *packetPrinter) packets(p *paste.Piece) iter.Seq[*explain.Packet] {
	switch {
	case p.Bytes == nil:
		return d.devices.Line(p.Text, d.transport)
	case d.transport == explain.Auto && p.Transport != "":
		return d.devices.Packets(p.Bytes, p.Transport)
	}
	return d.devices.Packets(p.Bytes, d.transport)
}

// note says what the piece was taken for, and what may be wrong with it: as comments, or beside the objects.
func (d *packetPrinter) note(label string, p *paste.Piece) {
	to, mark := io.Writer(d.out), "# "
	if d.json {
		to, mark = d.notes, ""
	} else if d.begun && (p.Took != "" || p.Hint != "") {
		fmt.Fprintln(to)
		d.begun = false
	}
	if p.Took != "" {
		fmt.Fprintf(to, "%s%staken for %s\n", mark, label, p.Took)
	}
	if p.Hint != "" {
		fmt.Fprintf(to, "%s%shint: %s\n", mark, label, p.Hint)
	}
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
