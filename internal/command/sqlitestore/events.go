package sqlitestore

import (
	"context"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

// maxEvents is how many events are kept: the newest ones.
const maxEvents = 10_000

// Publish implements command.Store.
func (s *Store) Publish(ctx context.Context, e *command.Event) error {
	own := *e
	payload, encoding, raw := command.EncodeResponse(e.Payload[:min(len(e.Payload), command.MaxEventPayload)])
	_, err := transact(ctx, s, func(tx *transaction) (struct{}, error) {
		result, err := tx.Exec(`INSERT INTO events (received_at, imei, kind, command, codec, type, named, sent,
				payload, encoding, payload_hex, size) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)`,
			own.Received.UnixMilli(), own.IMEI, own.Kind, own.Command, own.Codec, own.Type, own.Named, own.Sent,
			payload, encoding, nullable(raw), len(own.Payload))
		if err != nil {
			return struct{}{}, err
		}
		newest, err := result.LastInsertId()
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, tx.Do(`DELETE FROM events WHERE seq <= ?`, newest-s.maxEvents)
	})
	return err
}
