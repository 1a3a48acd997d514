package teltonikasession

import (
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// origin says whose a frame is, how it came, and what it is: what is still known of it when its bytes are gone.
type origin struct {
	imei        string
	claimedOnly bool            // by a datagram, without a login
	codec       teltonika.Codec // 0 if the frame was not read to its end
	received    time.Time       // when its last byte was read
	figures     *transportMetrics
	deadLetters *allowance     // of those who are to be trusted as much as its sender
	share       *publish.Share // of the queue, nil for no limit but the queue's own
}
