package main

import (
	"errors"
	"log/slog"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/jetstream"
)

// jetStreamSettings are those that a command needs that only talks to the engine.
var jetStreamSettings = []string{
	"NATS_URL", "NATS_CREDS", "NATS_TLS_CA_FILE", "NATS_TLS_CERT_FILE", "NATS_TLS_KEY_FILE",
	"JETSTREAM_SHARDS", "JETSTREAM_DURABILITY",
}

func openJetStream(c *config.Config, logger *slog.Logger) (engine.Engine, error) {
	e, err := jetstream.New(jetstream.Options{
		URL: c.NATSURL, Creds: c.NATSCreds, CAFile: c.NATSCAFile, CertFile: c.NATSCertFile, KeyFile: c.NATSKeyFile,
		Shards: c.JetStreamShards, Durability: jetstream.Durability(c.JetStreamDurability), Create: c.JetStreamCreate,
		DeadMaxBytes: c.DeadLetterMaxBytes, MessageMaxBytes: c.MessageMaxBytes,
		LargestFrame: c.MaxFrameBytes, ClientName: "tcp-ingestion-" + c.InstanceID, Logger: logger,
	})
	if err != nil {
		return nil, invalid("NATS_URL", errors.New(fileProblem(err, "a file")))
	}
	return e, nil
}
