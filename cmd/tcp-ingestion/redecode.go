package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/redecode"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/stored"
)

const redecodeDescription = `Says of stored records anew what their elements mean, by the dictionary of this version and
what is known of each device by now. Only signals, faults, device and dict change.
With RECORD_RAW the records say how wide each element was sent. Without it that is not known of numbers of 1, 2 and 4
bytes, and an element of a record without signals has a meaning only if all widths agree on it: about a tenth has none.
Without --write the records go to standard output, one JSON document a line. With it they are changed in place, a few at
a time, also while the service runs. It may be stopped, or killed, and run again.
Exit codes: 0 all done, 1 failed, or some are no records, 2 wrong usage, 78 wrong settings.`

func redecodeCommand() *cli.Command {
	return &cli.Command{
		Name:        "redecode",
		Usage:       "say anew what the elements of stored records mean",
		Description: redecodeDescription,
		Flags: slices.Concat([]cli.Flag{
			&cli.BoolFlag{Name: "write", Usage: "change the stored records (embedded engine)"},
		}, selectionFlags(), settingFlagsWith(besideTheService, storedSettings...)),
		Action: redecodeRecords,
	}
}

func redecodeRecords(ctx context.Context, cmd *cli.Command) error {
	selected, err := readSelection(cmd)
	if err != nil {
		return err
	}
	s, err := openStored(ctx, cmd)
	if err != nil {
		return err
	}
	defer s.engine.Close()
	decoder, end, err := newRedecoder(ctx, s)
	if err != nil {
		return err
	}
	defer end()
	job := &redecoding{
		selected: selected, decoder: decoder, out: cmd.Root().Writer, errOut: cmd.Root().ErrWriter, said: time.Now(),
	}
	if cmd.Bool("write") {
		if job.store, err = able[engine.RecordReplacer](s.engine, s.config, "have its records changed"); err != nil {
			return err
		}
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err = s.records.EachRecord(ctx, func(ref string, payload []byte) error { return job.take(ctx, ref, payload) })
	if err == nil {
		err = job.flush(ctx)
	}
	job.end()
	switch {
	case err != nil && ctx.Err() != nil:
		return cli.Exit("stopped before the last record: run it again", exitFailure)
	case err != nil:
		return cli.Exit(err.Error(), exitFailure)
	}
	if job.noRecords > 0 {
		return cli.Exit("", exitFailure)
	}
	return nil
}

// What is changed in one transaction.
const (
	redecodeBatch = 200
	redecodeBytes = 1 << 20
)

// redecoding is one run of the command.
type redecoding struct {
	selected selection
	decoder  *redecode.Decoder
	store    engine.RecordReplacer // nil: the records are only shown
	out      io.Writer
	errOut   io.Writer

	batch []engine.Replacement
	bytes int

	taken, changed, noRecords int
	said                      time.Time // when the progress was told
}

func (j *redecoding) take(ctx context.Context, ref string, payload []byte) error {
	if !j.selected.wantsRecord(payload) {
		return nil
	}
	j.taken++
	now, err := j.decoder.Document(ctx, payload)
	switch {
	case errors.Is(err, stored.ErrNoRecord):
		j.noRecords++
		fmt.Fprintf(j.errOut, "tcp-ingestion: %s is left as it is: %v\n", ref, err)
		return nil
	case err != nil:
		return err
	case j.store == nil:
		_, err := fmt.Fprintf(j.out, "%s\n", now)
		return err
	case bytes.Equal(now, payload):
		return nil
	}
	j.batch = append(j.batch, engine.Replacement{Ref: ref, Was: bytes.Clone(payload), Now: now})
	if j.bytes += len(payload) + len(now); len(j.batch) < redecodeBatch && j.bytes < redecodeBytes {
		return nil
	}
	return j.flush(ctx)
}

// flush changes what has gathered. It leaves the file to others for as long as it took, so that the service never waits
// for long.
func (j *redecoding) flush(ctx context.Context) error {
	if len(j.batch) == 0 {
		return nil
	}
	begin := time.Now()
	replaced, err := j.store.ReplaceRecords(ctx, j.batch)
	if err != nil {
		return err
	}
	j.changed += replaced
	j.batch, j.bytes = j.batch[:0], 0
	if time.Since(j.said) > progressInterval {
		j.said = time.Now()
		fmt.Fprintf(j.errOut, "tcp-ingestion: %s, %d of them changed so far\n", plural(j.taken, "record"), j.changed)
	}
	select {
	case <-time.After(time.Since(begin)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// progressInterval is how often a long run says how far it is.
const progressInterval = 10 * time.Second

func (j *redecoding) end() {
	if j.store != nil {
		fmt.Fprintf(j.out, "%s: %d changed, %d no records\n", plural(j.taken, "record"), j.changed, j.noRecords)
	}
}
