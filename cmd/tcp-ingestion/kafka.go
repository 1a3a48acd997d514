package main

import (
	"errors"
	"log/slog"
	"strings"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/config"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine/kafka"
)

// kafkaSettings are those that a command needs that only talks to the engine.
var kafkaSettings = []string{
	"KAFKA_BROKERS", "KAFKA_TOPIC", "KAFKA_DURABILITY", "KAFKA_TLS", "KAFKA_TLS_CA_FILE", "KAFKA_TLS_CERT_FILE",
	"KAFKA_TLS_KEY_FILE", "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD", "KAFKA_SASL_TOKEN_FILE",
}

func openKafka(c *config.Config, logger *slog.Logger) (engine.Engine, error) {
	k := &c.Kafka
	encrypted := kafka.TLS{On: k.TLS, CAFile: k.TLSCAFile, CertFile: k.TLSCertFile, KeyFile: k.TLSKeyFile}
	if err := encrypted.Check(); err != nil {
		return nil, invalid("KAFKA_TLS", errors.New(fileProblem(err, "a PEM file")))
	}
	e, err := kafka.New(kafka.Options{
		Brokers: strings.Split(k.Brokers, ","), Topic: k.Topic,
		Durability: kafka.Durability(k.Durability), Compression: k.Compression,
		CreateTopics: k.CreateTopics, Groups: split(k.Groups), LargestFrame: c.MaxFrameBytes,
		DeadMaxBytes: c.DeadLetterMaxBytes, MessageMaxBytes: c.MessageMaxBytes,
		TLS: encrypted,
		SASL: kafka.SASL{
			Mechanism: k.SASLMechanism, User: k.SASLUsername, Password: k.SASLPassword, TokenFile: k.SASLTokenFile,
		},
		ClientID: "tcp-ingestion-" + c.InstanceID, Logger: logger,
	})
	if err != nil {
		return nil, invalid("KAFKA_BROKERS", err)
	}
	return e, nil
}
