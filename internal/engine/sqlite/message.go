package sqlite

import (
	"database/sql/driver"
	"encoding/hex"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

const insertMessage = `INSERT INTO messages (seq, ts, device_id, codec, type, sent, payload)
	VALUES (1 + (SELECT newest_seq FROM message_total), ?,?,?,?,?,?)`

const (
	messageBytes = `SELECT bytes FROM message_total`

	removeOldestMessage = `DELETE FROM messages WHERE seq = (SELECT min(seq) FROM messages)`
)

// sinceMessages are those of the newest messages that were received since then. A batch has fewer.
const sinceMessages = `SELECT ts, device_id, codec, type, sent, payload FROM messages
	WHERE seq > (SELECT max(seq) FROM messages) - 10000 AND ts >= ?`

// insertMessages writes the messages. They have no id, so after an ambiguous failure those that are there
// already are left out, as many equal ones as there are.
func (w *writer) insertMessages(duplicates []bool) error {
	var stored map[messageRow]int
	if w.staged.again && len(w.staged.messages) > 0 {
		var err error
		if stored, err = w.storedMessages(); err != nil {
			return err
		}
	}
	for i, m := range w.staged.messages {
		if duplicates[i] = stored[m] > 0; duplicates[i] {
			stored[m]--
			continue
		}
		if err := w.messages.make(m.payload, w.db.messageBytes, w.db.removeMessage); err != nil {
			return err
		}
		w.db.insertMessage.bind(m.received, m.device, m.codec, m.kind, m.sent, m.payload)
		if _, err := w.db.insertMessage.exec(); err != nil {
			return err
		}
	}
	return nil
}

// storedMessages counts the messages stored that may be of the batch.
func (w *writer) storedMessages() (map[messageRow]int, error) {
	since := w.staged.messages[0].received
	for _, m := range w.staged.messages {
		since = min(since, m.received)
	}
	stored := make(map[messageRow]int)
	w.db.sinceMessages.bind(since)
	err := w.db.sinceMessages.each(func(row []driver.Value) error {
		stored[parseMessageRow(row)]++
		return nil
	})
	return stored, err
}

// parseMessageRow reads ts, device_id, codec, type, sent, payload.
func parseMessageRow(row []driver.Value) (m messageRow) {
	m.received, _ = row[0].(int64)
	m.device, _ = row[1].(string)
	m.codec, _ = row[2].(string)
	m.kind, _ = row[3].(int64)
	m.sent = row[4]
	m.payload, _ = row[5].(string)
	return m
}

// message is the row as it was stored. It fails if another program wrote something else.
func (m *messageRow) message() (engine.Message, error) {
	payload, err := hex.DecodeString(m.payload)
	message := engine.Message{
		DeviceID: m.device, Codec: m.codec, Type: byte(m.kind), Received: time.UnixMilli(m.received).UTC(), Payload: payload,
	}
	if sent, ok := m.sent.(int64); ok {
		message.Sent = time.UnixMilli(sent).UTC()
	}
	return message, err
}
