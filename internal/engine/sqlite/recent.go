package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

var errNoDeviceIndex = errors.New("the records have no index by device yet; tcp-ingestion migrate builds it")

const lastRecords = "SELECT payload FROM records WHERE device_id = ? ORDER BY ts DESC, seq DESC LIMIT ?"

// LastRecords reads those with the latest timestamps. Without the index by device, for which a large file of an earlier
// version waits, it fails: to read all records would hold up Store.
func (e *Engine) LastRecords(ctx context.Context, deviceID string, n int) (newest [][]byte, whole bool, err error) {
	newest, err = inTurn(ctx, e, func(w *writer) ([][]byte, error) {
		if err := w.open(); err != nil {
			return nil, classify(w.path, err)
		}
		indexed, err := w.db.ask(deviceIndexExists)
		if err != nil {
			return nil, w.giveUp(err)
		}
		if indexed != int64(1) {
			return nil, &engine.Error{Err: errNoDeviceIndex}
		}
		payloads, err := w.db.lastRecords(deviceID, n)
		if err != nil {
			return nil, w.giveUp(err)
		}
		return payloads, nil
	})
	return newest, err == nil, err
}

func (d *database) lastRecords(deviceID string, n int) (payloads [][]byte, err error) {
	d.recent.bind(deviceID, int64(n))
	err = d.recent.each(func(row []driver.Value) error {
		payload, _ := row[0].(string)
		payloads = append(payloads, []byte(payload))
		return nil
	})
	return payloads, err
}
