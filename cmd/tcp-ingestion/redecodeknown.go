package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v3"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/redecode"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// newRedecoder is a decoder by the settings' overrides and map of models, and by what the service keeps of devices. The
// function that it returns closes what was opened.
func newRedecoder(ctx context.Context, s *storedRecords) (_ *redecode.Decoder, end func(), err error) {
	models, _, err := readModels(ctx, s.config)
	if err != nil {
		return nil, nil, cli.Exit(err.Error(), startExitCode(err))
	}
	store, err := keptDevices(s.config, s.logger)
	if err != nil {
		return nil, nil, cli.Exit(err.Error(), exitSettings)
	}
	known := func(ctx context.Context, imei string) (k redecode.Known, err error) {
		if models != nil {
			k.Mapped, _ = meaning.ParseIdentity(models.Of(imei))
		}
		if store != nil {
			err = loadKept(ctx, store, imei, &k)
		}
		return k, err
	}
	end = func() {
		if store != nil {
			_ = store.Close() // nothing was written
		}
	}
	return redecode.New(s.dictionary, known), end, nil
}

func loadKept(ctx context.Context, store device.Store, imei string, k *redecode.Known) error {
	ctx, cancel := context.WithTimeout(ctx, keptTimeout)
	defer cancel()
	all, err := store.Load(ctx, []string{imei})
	if err != nil {
		return fmt.Errorf("what the service has kept of devices cannot be read: %w", err)
	}
	for _, kept := range all {
		k.Said = meaning.Identity{Model: kept.Model, Firmware: kept.Firmware, By: meaning.ByGetver}
		if k.Evidence.UnmarshalBinary(kept.Evidence) != nil {
			k.Evidence = meaning.Evidence{} // of another version
		}
	}
	return nil
}
