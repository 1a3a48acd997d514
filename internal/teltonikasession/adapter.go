// Package teltonikasession is one tracker's connection, from its login to its close, and what it sends in datagrams.
//
// A session carries a frame through six steps and only then looks for the next one:
//
//	read → check → decode → encode → publish → ack
//
// Publish returns when everything in the frame is stored; so the ACK that follows means stored. What happens
// instead when a step fails is in one table, dispositions.
package teltonikasession

import (
	"log/slog"
	"sync"
	"time"

	devices "git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/limit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/mirror"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
	"git.dev.trmtracking.org/trm/tcp-ingestion/meaning"
)

// Authority says which devices are known. It is asked at every login and must not block.
type Authority interface {
	Known(imei string) bool
}

// Options are the sessions' settings. All fields are needed, but Signals, RecordRaw, Listed, StrictAuth, Commands,
// Devices, Strangers, Tap, Mirror and the rates of those that are not listed.
type Options struct {
	Publisher            *publish.Publisher
	Authority            Authority
	Commands             Commands
	Devices              *devices.Memory // nil: nothing is known of devices
	Tap                  *tap.Hub        // nil: nobody looks at packets
	Mirror               *mirror.Mirror  // nil: no other platform gets what devices send
	Strangers            *stranger.Ring  // nil: nothing is known of those who do not log in
	Listed               bool            // the authority has a list: only those on it are devices without doubt
	StrictAuth           bool            // refuse unknown devices instead of only labelling them
	Signals              bool            // publish what the elements of Devices mean too
	RecordRaw            bool            // publish the record's bytes too
	HandshakeTimeout     time.Duration   // for the whole login
	IdleTimeout          time.Duration   // between two signs of life
	WriteTimeout         time.Duration   // for an answer
	MaxFrameBytes        int             // largest data field length
	UnlistedRate         int             // records a second of a device that is on no list; 0 for no bound
	UnlistedAddressRate  int             // the same of an address
	UnlistedAddressBytes int             // a second, of its bulk; 0 for no bound
	Metrics              *Metrics
	Logger               *slog.Logger
}

// Adapter makes a session of every connection.
type Adapter struct {
	Options
	began                time.Time
	frames               sync.Pool // of *frameContext
	deadLetters          *deadLetterQuota
	strangersDeadLetters *deadLetterQuota // of devices that are not on the list; nil without one
	unlisted             unlisted
	backoff              loginBackoff
	largeFrames          *budget
	datagrams            *datagrams
	detached             *publish.Quota // of the queue: for messages whose connections have ended
}

// New returns the adapter.
func New(o Options) *Adapter {
	if o.Commands == nil {
		o.Commands = noCommands{}
	}
	a := &Adapter{Options: o, began: time.Now(), deadLetters: newDeadLetterQuota(deadLetterBytes, o.MaxFrameBytes),
		unlisted: newUnlisted(&o), backoff: newLoginBackoff(), largeFrames: newBudget(largeFrameBudget, o.MaxFrameBytes)}
	if o.Listed {
		a.strangersDeadLetters = newDeadLetterQuota(strangerDeadLetterBytes, o.MaxFrameBytes)
	}
	a.datagrams = newDatagrams(&o)
	o.Metrics.datagramDevices.Store(a.datagrams.devices)
	a.detached = o.Publisher.Quota(detachedParts)
	a.frames.New = a.newFrameContext
	return a
}

// Open implements ingest.Adapter.
func (a *Adapter) Open(conn *ingest.Conn) ingest.Session {
	return &session{Adapter: a, conn: conn}
}

// meaningOf is what the device's elements are read with; nil without Options.Signals.
func (a *Adapter) meaningOf(d *devices.Device) *meaning.Device {
	if !a.Signals {
		return nil
	}
	return d.Meaning()
}

// Step is the login, and from then on one frame. It implements ingest.Session.
func (s *session) Step() ingest.CloseReason {
	step := s.next
	if s.device == nil {
		step = s.login
	}
	return step()
}

// End implements ingest.Session.
func (s *session) End(reason ingest.CloseReason) {
	s.turnedAway(reason)
	s.leave(reason)
}

// leave parts with the device that is logged in, if there is one.
func (s *session) leave(reason ingest.CloseReason) {
	d := s.device
	if d == nil {
		return
	}
	s.device = nil
	d.hangUp()
	d.mirror.Release()
	d.known.Left(d.visit, time.Now(), string(reason), reason == ingest.ReasonTakenOver)
	d.known.Release()
	s.Commands.Disconnected(d.imei, d)
	s.Logger.Info("device disconnected", "imei", d.imei, "remote", s.conn.RemoteAddr().String(), "reason", string(reason),
		"duration", time.Since(d.loggedIn).Round(time.Millisecond),
		"frames", d.frames, "records", d.records)
}

// mirrorOf is the device at the other platform; nil if it is not to see it. Where there is a list, it does not see who
// is not on it.
func (a *Adapter) mirrorOf(imei string, known bool) *mirror.Queue {
	if a.Listed && !known {
		return nil
	}
	return a.Mirror.Hold(imei)
}

// session is what a connection costs beside its goroutine and socket, so it has no buffer but the one that
// a frame's header is waited for in.
type session struct {
	*Adapter
	conn      *ingest.Conn
	device    *device       // who is logged in; nil before the first login
	head      [8]byte       // the next frame's header, or how a login begins; also the ACK's bytes
	have      uint8         // bytes of head that have arrived
	wrongCRCs uint8         // in a row
	begun     bool          // the time for the rest of the frame runs
	known     bool          // the device, by the authority, when it logged in
	proved    bool          // a frame with records is acknowledged
	allNew    uint8         // frames of the device in a row that brought new records only; see newInARow
	streams   bool          // sends its next frame within restAfter
	rested    bool          // restAfter of the wait for the next frame is over
	others    limit.Bucket  // logins of other devices; see otherLogins
	lastFrame time.Duration // when the last frame came, after the adapter's began; 0 = none has
}

// answer writes what the device waits for.
func (s *session) answer(b []byte) error { return s.write(b, time.Now()) }

// write has the device take b within the time for it, from now. It leaves no deadline behind: each one that passed
// while the device rests would wake a thread for nothing.
func (s *session) write(b []byte, now time.Time) error {
	if err := s.conn.SetWriteDeadline(now.Add(s.WriteTimeout)); err != nil {
		return err
	}
	_, err := s.conn.Write(b)
	_ = s.conn.SetWriteDeadline(time.Time{}) // the connection may have ended since, but b has gone out
	return err
}

// writeFailed says why an answer could not be written.
func (s *session) writeFailed(err error) ingest.CloseReason {
	if reason := s.conn.Reason(err); reason != ingest.ReasonIdleTimeout {
		return reason
	}
	return ReasonWriteTimeout
}
