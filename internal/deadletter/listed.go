package deadletter

import "git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"

// Listed is a dead letter as it is listed. DeviceID, Reason, Codec and Transport are whatever is stored.
type Listed struct {
	Ref       string `json:"ref"`
	Received  string `json:"received"` // as in published records
	DeviceID  string `json:"device_id"`
	Reason    string `json:"reason"`
	Codec     string `json:"codec"`
	Bytes     int    `json:"bytes"`
	Claimed   int    `json:"records_claimed"`
	Transport string `json:"transport,omitempty"`
}

// Listed is the dead letter without its frame.
func (l *Letter) Listed() Listed {
	return Listed{
		Ref: l.Ref, Received: string(record.AppendTime(nil, l.Received.UnixMilli())), DeviceID: l.DeviceID,
		Reason: l.Reason, Codec: l.Codec, Bytes: len(l.Frame), Claimed: l.Claimed(), Transport: l.Transport,
	}
}
