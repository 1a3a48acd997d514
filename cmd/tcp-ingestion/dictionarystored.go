package main

import (
	"bytes"
	"context"
	"fmt"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/dictionary"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

const dictionaryExplainDescription = `Says of which family a device is, why so, and how each of its elements is read:
from what the configured engine has stored of it. It reads all stored records, and changes nothing.
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
	identity, err := identityOf(cmd)
	if err != nil {
		return err
	}
	d, err := dictionaryOf(cmd)
	if err != nil {
		return err
	}
	device := dictionary.Device{IMEI: imei, Dictionary: d, Identity: identity}
	own, found := []byte(`"device_id":"`+imei+`"`), false
	err = eachStored(ctx, cmd, func(payload []byte) error {
		if !bytes.Contains(payload, own) {
			return nil
		}
		if r, err := dictionary.ParseRecord(payload); err == nil && r.DeviceID == imei {
			device.Add(r)
			found = true
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !found:
		return cli.Exit("no record of device "+imei+" is stored", exitFailure)
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
	d, err := dictionaryOf(cmd)
	if err != nil {
		return err
	}
	unknown, foreign := dictionary.NewUnknown(d), 0
	err = eachStored(ctx, cmd, func(payload []byte) error {
		if r, err := dictionary.ParseRecord(payload); err == nil {
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

// eachStored calls fn with every stored record of the configured engine.
func eachStored(ctx context.Context, cmd *cli.Command, fn func(payload []byte) error) error {
	c, e, _, err := openEngine(cmd)
	if err != nil {
		return err
	}
	defer e.Close()
	stored, err := able[engine.RecordReader](e, c, "show its stored records")
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err = stored.EachRecord(ctx, func(_ string, payload []byte) error { return fn(payload) })
	if err != nil {
		return cli.Exit(err.Error(), exitFailure)
	}
	return nil
}
