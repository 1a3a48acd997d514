package simulate

import "encoding/hex"

// pendingMessages are the messages that a device has sent of its own accord on its connection, until they must be
// stored. Nothing answers them, but a server stores one before it acknowledges a later frame of the same connection.
type pendingMessages struct {
	payloads [][]byte // in order, not confirmed yet
	before   int      // of them, those sent before the frame that waits for its ACK
	count    uint64   // of the device, so that no two of its messages are equal
}

// frameSent notes that the messages so far are before a frame.
func (s *pendingMessages) frameSent() { s.before = len(s.payloads) }

// confirmed takes out the messages that the ACK says are stored.
func (s *pendingMessages) confirmed() [][]byte {
	n := s.before
	s.before = 0
	stored := s.payloads[:n]
	s.payloads = s.payloads[n:]
	return stored
}

// forget is the end of the connection: nobody knows whether what is not confirmed is stored.
func (s *pendingMessages) forget() { s.payloads, s.before = nil, 0 }

// writeConfirmed adds the messages that the ACK confirms to their list.
func (d *device) writeConfirmed() error {
	payloads := d.pending.confirmed()
	d.shard.count(messagesConfirmed, len(payloads))
	list := d.fleet.confirmed
	if list == nil || len(payloads) == 0 {
		return nil
	}
	var b []byte
	for _, p := range payloads {
		b = append(b, d.imei...)
		b = append(b, '-')
		b = hex.AppendEncode(b, p)
		b = append(b, '\n')
	}
	return d.fleet.note(list, b)
}
