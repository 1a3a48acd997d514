package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"slices"
	"syscall"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/dictionary"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/stored"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

const dictionaryExplainDescription = `Says of which family a device is, why so, and how each of its elements is read:
from what the configured engine has stored of it and what the service has kept. It reads all stored records, and
changes nothing.
Exit codes: 0 done, 1 the engine cannot be read or has no record of the device, 2 wrong usage, 78 wrong settings.`

func dictionaryExplainCommand() *cli.Command {
	return &cli.Command{
		Name: "explain", Usage: "how a device's elements are read, and why", ArgsUsage: "IMEI",
		Description: dictionaryExplainDescription, HideHelpCommand: true,
		Flags:  storedFlags(familyFlags("as if it were of")...),
		Action: explainDevice, OnUsageError: usageError,
	}
}

func explainDevice(ctx context.Context, cmd *cli.Command) error {
	imei := cmd.Args().First()
	if cmd.NArg() != 1 || !isDeviceID(imei) {
		return wrongFlag(cmd, "which device? %s", useDeviceID)
	}
	said, err := identityOf(cmd)
	if err != nil {
		return err
	}
	records, err := openStored(ctx, cmd)
	if err != nil {
		return err
	}
	defer records.engine.Close()
	device, err := records.device(ctx, imei, said)
	if err != nil {
		return err
	}
	own, found := []byte(`"device_id":"`+imei+`"`), device.Kept != nil
	err = records.each(ctx, func(payload []byte) error {
		if !bytes.Contains(payload, own) {
			return nil
		}
		if r, err := stored.Parse(payload); err == nil && r.DeviceID == imei {
			device.Add(r)
			found = true
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !found:
		return cli.Exit("nothing of device "+imei+" is stored", exitFailure)
	case cmd.Bool("json"):
		return device.Explain().WriteJSON(cmd.Root().Writer)
	}
	return device.Explain().WriteText(cmd.Root().Writer)
}

const dictionaryUnknownDescription = `Counts the elements of the stored records that have no meaning, by id and width,
the most frequent first. unknown: no family has such an element; write an override for it. silent: some family has it,
but the record gave no value: its device is of another family, or the families that it may be of do not agree;
DEVICE_MODELS may help. Records that were stored without signals only show what is unknown. It reads all stored
records, and changes nothing.
Exit codes: 0 done, 1 the engine cannot be read, 2 wrong usage, 78 wrong settings.`

func dictionaryUnknownCommand() *cli.Command {
	return &cli.Command{
		Name: "unknown", Usage: "count what nothing names in the stored records", ArgsUsage: " ",
		Description: dictionaryUnknownDescription, HideHelpCommand: true,
		Flags:  storedFlags(),
		Action: withoutArguments(countUnknown), OnUsageError: usageError,
	}
}

func countUnknown(ctx context.Context, cmd *cli.Command) error {
	records, err := openStored(ctx, cmd)
	if err != nil {
		return err
	}
	defer records.engine.Close()
	unknown, foreign := dictionary.NewUnknown(records.dictionary), 0
	err = records.each(ctx, func(payload []byte) error {
		if r, err := stored.Parse(payload); err == nil {
			unknown.Add(r)
		} else {
			foreign++
		}
		return nil
	})
	if err != nil {
		return err
	}
	if foreign > 0 {
		fmt.Fprintf(cmd.Root().ErrWriter, "tcp-ingestion: left out %s that this program did not write\n",
			plural(foreign, "record"))
	}
	if cmd.Bool("json") {
		return unknown.WriteJSON(cmd.Root().Writer)
	}
	return unknown.WriteText(cmd.Root().Writer)
}

// storedSettings are those of commands that say what is in the stored records.
var storedSettings = append(slices.Clone(engineSettings), "CONTROL_REDIS_URL", "DICTIONARY_OVERRIDES", "DEVICE_MODELS")

// storedFlags are those of dictionary's commands that read the stored records.
func storedFlags(own ...cli.Flag) []cli.Flag {
	return slices.Concat(own, []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}},
		settingFlagsWith(besideTheService, storedSettings...))
}

// storedRecords are those of the configured engine, and what they are read by.
type storedRecords struct {
	config     *config.Config
	engine     engine.Engine
	records    engine.RecordReader // the engine
	dictionary *meaning.Dictionary
	logger     *slog.Logger
	errOut     io.Writer
}

// openStored opens the engine. Its caller closes it.
func openStored(ctx context.Context, cmd *cli.Command) (*storedRecords, error) {
	c, e, logger, err := openEngine(cmd)
	if err != nil {
		return nil, err
	}
	s := &storedRecords{
		config: c, engine: e, dictionary: meaning.Embedded(), logger: logger, errOut: cmd.Root().ErrWriter,
	}
	s.records, err = able[engine.RecordReader](e, c, "show its stored records")
	if err == nil && c.DictionaryOverrides != "" {
		s.dictionary, err = device.NewOverrides(c.DictionaryOverrides).Read(ctx, false)
		if err = invalidFile("DICTIONARY_OVERRIDES", c.DictionaryOverrides, err); err != nil {
			err = cli.Exit(err.Error(), exitSettings)
		}
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	return s, nil
}

// each calls fn with every stored record.
func (s *storedRecords) each(ctx context.Context, fn func(payload []byte) error) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := s.records.EachRecord(ctx, func(_ string, payload []byte) error { return fn(payload) })
	if err != nil {
		return cli.Exit(err.Error(), exitFailure)
	}
	return nil
}

// device is what is known of a device beside its records: by the map of models, unless said says something else, and
// by what the service has kept.
func (s *storedRecords) device(
	ctx context.Context, imei string, said meaning.Identity,
) (*dictionary.Device, error) {
	if said == (meaning.Identity{}) {
		models, _, err := readModels(ctx, s.config)
		if err != nil {
			return nil, cli.Exit(err.Error(), exitSettings)
		}
		if models != nil {
			said, _ = meaning.ParseIdentity(models.Of(imei))
		}
	}
	v := &dictionary.Device{IMEI: imei, Dictionary: s.dictionary, Identity: said}
	kept, err := s.kept(ctx, imei)
	if err != nil {
		fmt.Fprintln(s.errOut, "tcp-ingestion: what the service has kept of the device cannot be read:", err)
	}
	if kept == nil {
		return v, nil
	}
	v.Kept = new(meaning.Evidence)
	if v.Kept.UnmarshalBinary(kept.Evidence) != nil {
		v.Kept = nil // of another version: the service learns it anew
	}
	v.Identity = meaning.Identify(said, meaning.Identity{
		Model: kept.Model, Firmware: kept.Firmware, By: meaning.ByGetver,
	})
	return v, nil
}

// kept is what the service has kept of a device, nil if that is nothing.
func (s *storedRecords) kept(ctx context.Context, imei string) (*device.Kept, error) {
	store, err := keptDevices(s.config, s.logger)
	if store == nil {
		return nil, err
	}
	defer store.Close()
	ctx, cancel := context.WithTimeout(ctx, keptTimeout)
	defer cancel()
	found, err := store.Load(ctx, []string{imei})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}
