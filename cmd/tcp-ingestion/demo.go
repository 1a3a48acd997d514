package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/simulate"
)

func demoCommand() *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "see it work: a server, a fleet of simulated trackers, and their records as they are stored",
		Description: "Runs the real server on the embedded engine, until --duration is over or Ctrl-C: on free ports\n" +
			"of this machine and in a temporary folder, unless the settings below say otherwise. Trackers\n" +
			"send their newest record first, so times jump back. At the end it compares what the fleet was\n" +
			"promised with what is stored. Nothing is left behind unless --data-dir is given.",
		Flags: append([]cli.Flag{
			&cli.IntFlag{Name: "devices", Value: 20, Usage: "simulated trackers"},
			&cli.FloatFlag{Name: "rate", Value: 10, Usage: "records a second of the whole fleet"},
			&cli.DurationFlag{Name: "duration", Usage: "end after this time (0: at Ctrl-C)"},
		}, settingFlagsWith(demoSettings,
			"DATA_DIR", "TELTONIKA_PORT", "METRICS_PORT", "ADMIN_ADDRESS", "LOG_LEVEL")...),
		Action: demo,
	}
}

// demoSettings are those that the demo stands in for what is not set. Its DATA_DIR is a folder made for the run.
var demoSettings = map[string]string{
	"ENGINE": "embedded", "DATA_DIR": "a temporary folder", "BIND_ADDRESS": "127.0.0.1", "TELTONIKA_PORT": "0",
	"METRICS_PORT": "0", "ADMIN_ADDRESS": "127.0.0.1:0", "LOG_LEVEL": "warn", "LOG_FORMAT": "text",
}

func demo(ctx context.Context, cmd *cli.Command) error {
	fleet := demoFleet(cmd)
	if err := fleet.Validate(); err != nil {
		return usageError(ctx, cmd, nameFlags(err), true)
	}
	dir, err := os.MkdirTemp("", "tcp-ingestion-demo-")
	if err != nil {
		return cli.Exit(err.Error(), exitFailure)
	}
	defer os.RemoveAll(dir)
	settings := maps.Clone(demoSettings)
	settings["DATA_DIR"] = dir
	c, err := loadSettings(cmd, settings)
	if err != nil {
		return err
	}
	if c.TeltonikaPort < 0 {
		return cli.Exit("TELTONIKA_PORT: is off, and the demo's devices connect to it", exitSettings)
	}
	ctx, release := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer release()
	defer context.AfterFunc(ctx, release)() // a second signal ends the process at once
	signal.Ignore(syscall.SIGPIPE)          // whoever reads may leave early, and nothing is left behind all the same

	logger, level := newLogger(cmd, c)
	s, err := newService(c, logger, level)
	if err != nil {
		return cli.Exit(err.Error(), buildExitCode(err))
	}
	if err := s.start(ctx); err != nil {
		return cli.Exit(err.Error(), exitFailure)
	}
	out := cmd.Root().Writer
	fmt.Fprintf(out, "devices connect to  %v\nmetrics             http://127.0.0.1:%d/metrics\nrecords go to       %s\n",
		s.devicesAddress, port(s.opsAddress), filepath.Join(c.DataDir, "telemetry.db"))
	if page := s.pageURL(); page != "" {
		fmt.Fprintf(out, "see it all at       %s\n", page)
	}
	fmt.Fprintln(out)

	before, err := s.engine.Probe(ctx)
	if err != nil {
		return cli.Exit(fmt.Sprintf("engine: %v", err), exitFailure)
	}
	show, endShow := context.WithCancel(context.Background())
	shown := make(chan error, 1)
	go func() {
		defer release() // without a reader there is nothing to show
		shown <- s.engine.(engine.Tailer).Tail(show, false, func(p []byte) error { return showRecord(out, p) })
	}()
	fleet.Address = s.devicesAddress.String()
	ledger, err := simulate.Run(ctx, fleet)
	if err != nil {
		err = fmt.Errorf("fleet: %w", err)
	}
	endShow()
	if tailErr := <-shown; tailErr != nil && !errors.Is(tailErr, context.Canceled) {
		err = errors.Join(err, fmt.Errorf("tail: %w", tailErr))
	}
	after, probeErr := s.engine.Probe(context.Background())
	if err := errors.Join(err, probeErr, s.stop()); err != nil {
		return cli.Exit(err.Error(), exitFailure)
	}
	return compare(out, &ledger, after.Length-before.Length)
}

// demoFleet is complete but for the server's address.
func demoFleet(cmd *cli.Command) simulate.Options {
	o := simulate.Defaults()
	o.Address = "127.0.0.1:0"
	o.Devices = cmd.Int("devices")
	o.Rate, o.RecordsPerFrame = cmd.Float("rate"), simulate.Range{Min: 1, Max: 3}
	o.Duration = cmd.Duration("duration")
	o.Seed = uint64(rand.Uint32())
	return o
}

// compare prints what the fleet was promised beside what is stored. Records whose ACK did not arrive before the
// end may be stored as well; fewer than acknowledged must never be.
func compare(out io.Writer, ledger *simulate.Ledger, stored int64) error {
	fmt.Fprintln(out)
	if err := ledger.WriteText(out); err != nil {
		return cli.Exit(err.Error(), exitFailure)
	}
	fmt.Fprintf(out, "\nacknowledged %s, stored %d\n", plural(int(ledger.RecordsAcknowledged), "record"), stored)
	if stored < ledger.RecordsAcknowledged {
		return cli.Exit("records are missing that were acknowledged", exitFailure)
	}
	return nil
}

// showRecord prints one record on one line.
func showRecord(out io.Writer, payload []byte) error {
	var r struct {
		DeviceID   string                     `json:"device_id"`
		Timestamp  string                     `json:"timestamp"`
		Latitude   float64                    `json:"latitude"`
		Longitude  float64                    `json:"longitude"`
		Speed      int                        `json:"speed"`
		Satellites int                        `json:"satellites"`
		Fix        string                     `json:"fix"`
		Codec      string                     `json:"codec"`
		Attributes map[string]json.RawMessage `json:"attributes"`
	}
	if err := json.Unmarshal(payload, &r); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "%s  %-16s  %10.6f %11.6f  %3d km/h  %2d sat  fix %-5s  codec %-2s  %2d elements\n",
		r.Timestamp, r.DeviceID, r.Latitude, r.Longitude, r.Speed, r.Satellites, r.Fix, r.Codec, len(r.Attributes))
	return err
}
