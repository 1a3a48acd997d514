package redisstream

import (
	"encoding/hex"
	"strconv"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// parseMessage reads the fields that appendMessage writes.
func parseMessage(fields map[string]any) (m engine.Message, ok bool) {
	text := func(name string) string {
		value, _ := fields[name].(string)
		return value
	}
	m = engine.Message{DeviceID: text("device_id"), Codec: text("codec")}
	kind, err := strconv.ParseUint(text("type"), 10, 8)
	if err != nil {
		return m, false
	}
	m.Type = byte(kind)
	if m.Received, err = time.Parse(timeLayout, text("ts")); err != nil {
		return m, false
	}
	if sent := text("sent"); sent != "" {
		if m.Sent, err = time.Parse(timeLayout, sent); err != nil {
			return m, false
		}
	}
	m.Payload, err = hex.DecodeString(text("payload"))
	return m, err == nil
}
