package record

import (
	"slices"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// MaxMessages is how many messages of a packet go to the publisher together. A packet may have thousands.
const MaxMessages = 255

// AppendMessages makes messages of a device's out of what it sent, behind those in messages. Their payloads are
// copied to the end of buffer: the packet's bytes may be gone before they are stored.
func AppendMessages(
	buffer []byte, messages []engine.Message, o Origin, sent []teltonika.Message,
) ([]byte, []engine.Message) {
	size := 0
	for i := range sent {
		size += len(sent[i].Payload)
	}
	buffer = slices.Grow(buffer, size)
	codec := o.Codec.String()
	for i := range sent {
		start := len(buffer)
		buffer = append(buffer, sent[i].Payload...)
		m := engine.Message{
			DeviceID: o.DeviceID, Codec: codec, Type: sent[i].Type, Received: o.Received,
			Payload: buffer[start:len(buffer):len(buffer)],
		}
		if o.Codec.HasTimestamp() {
			m.Sent = time.Unix(int64(sent[i].Timestamp), 0)
		}
		messages = append(messages, m)
	}
	return buffer, messages
}
