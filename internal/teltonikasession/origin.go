package teltonikasession

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// origin says whose a frame is, how it came, and what it is: what is still known of it when its bytes are gone.
type origin struct {
	imei        string
	claimedOnly bool            // by a datagram, without a login
	onList      bool            // the device is on the list
	remote      fmt.Stringer    // its sender's address
	network     netip.Addr      // what that is held responsible by; invalid if nobody is
	codec       teltonika.Codec // 0 if the frame was not read to its end
	received    time.Time       // when its last byte was read
	figures     *transportMetrics
	deadLetters *allowance     // of those who are to be trusted as much as its sender
	share       *publish.Share // of the queue, nil for no limit but the queue's own
}

// origin is that of the frames that come by the session.
func (s *session) origin() origin {
	o := origin{imei: s.line.imei, onList: s.known && s.Listed, remote: s.conn.RemoteAddr(), network: s.conn.Network(),
		figures: s.Metrics.of(s.conn.Transport()), deadLetters: s.deadLetters}
	if s.Listed && !s.known {
		o.deadLetters = s.strangersDeadLetters
	}
	return o
}

// remote is an address in the log. It is made a text only in a line that is written.
type remote struct{ fmt.Stringer }

// LogValue implements slog.LogValuer.
func (r remote) LogValue() slog.Value { return slog.StringValue(r.String()) }
