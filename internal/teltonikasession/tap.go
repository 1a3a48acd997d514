package teltonikasession

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/tap"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// What follows shows packets to whoever looks, once it is known what has become of them. While nobody looks, each costs
// one atomic load.

// showLogin shows a login, or what came instead of one on a connection of a device: what strangers send is shown when
// they are taken down. reason says why the connection ends, if it does.
func (s *session) showLogin(imei string, login []byte, err error, reason ingest.CloseReason) {
	if !s.Tap.Watched() || s.device == nil && (reason != ReasonRejected || s.conn.IsBalancers()) {
		return
	}
	p := tap.Packet{Time: time.Now(), IMEI: imei, Kind: tap.Login, Reason: string(reason), Stranger: s.device == nil,
		Bytes: login, Size: len(login)}
	if p.IMEI == "" && s.device != nil {
		p.IMEI = s.device.imei
	}
	cut := (*partial)(nil)
	switch {
	case reason == "":
		p.Outcome, p.Answer = tap.Accepted, []byte{teltonika.LoginAccept}
	case reason == ReasonRejected:
		p.Outcome, p.Answer = tap.Rejected, []byte{teltonika.LoginRefuse}
	case err == nil:
		p.Outcome = tap.CutOff
	case errors.As(err, &cut):
		p.Outcome, p.Size, p.Err = tap.CutOff, max(cut.size, len(login)), &cutOff{cut, reason}
	default:
		p.Outcome, p.Err = tap.Malformed, withCause{foreign(login, err)}
	}
	s.show(&p)
}

// showFrame shows the frame at hand, of which err says at which step it stopped.
func (s *session) showFrame(w *frameContext, err error, reason ingest.CloseReason) {
	if !s.Tap.Watched() {
		return
	}
	p := tap.Packet{Time: w.Received, IMEI: w.DeviceID, Kind: tap.Frame, Bytes: w.frame, Size: w.size,
		Reason: cmp.Or(w.fate.reason, string(reason))}
	cut := (*partial)(nil)
	switch p.Outcome = w.outcome(); {
	case errors.As(err, &cut):
		p.Outcome, p.Err = tap.CutOff, &cutOff{cut, reason}
	case err != nil:
		p.Err = withCause{err}
	}
	if w.Received.IsZero() { // not all of the frame's bytes are its own
		p.Time, p.Bytes, p.Size = time.Now(), s.head[:], len(s.head)
		if cut != nil {
			p.Size = cut.size
			if cut.have <= len(w.frame) {
				p.Bytes = w.frame[:cut.have]
			}
		}
	}
	if w.acknowledged >= 0 {
		p.Answer, p.Took = teltonika.AppendAck(nil, w.acknowledged), time.Since(w.Received)
	}
	s.show(&p)
}

// showCutOff shows what has come of a frame's header.
func (s *session) showCutOff(cut *partial, reason ingest.CloseReason) {
	if !s.Tap.Watched() || cut.have == 0 {
		return
	}
	s.show(&tap.Packet{Time: time.Now(), IMEI: s.device.imei, Kind: tap.Frame, Outcome: tap.CutOff,
		Reason: string(reason), Bytes: cut.first, Size: cut.have, Err: &cutOff{cut, reason}})
}

// outcome is the packet's, when it is done with.
func (w *frameContext) outcome() tap.Outcome {
	if w.detached {
		return tap.Pending
	}
	return cmp.Or(w.fate.outcome, tap.Empty)
}

// showCommand shows a command that was written to the device, or was to be.
func (s *session) showCommand(imei string, out *outgoing, err error) {
	if !s.Tap.Watched() {
		return
	}
	p := tap.Packet{Time: out.written, IMEI: imei, Kind: tap.Command, Outcome: tap.CommandSent, Bytes: out.frame,
		Size: len(out.frame), Err: err}
	if err != nil {
		p.Outcome = tap.CommandFailed
	}
	s.show(&p)
}

// show says where the packet is from.
func (s *session) show(p *tap.Packet) {
	p.Address, p.Transport = tap.AddressOf(s.conn.RemoteAddr()), s.conn.Transport()
	s.Tap.Offer(p)
}

// watches reports whether a tap may show the device's datagrams.
func (a *Adapter) watches(imei string, from netip.AddrPort) bool {
	return a.Tap.Watched() &&
		a.Tap.Wants(&tap.Packet{IMEI: imei, Address: from, Transport: transportUDP, Kind: tap.Datagram})
}

// showRejectedDatagram shows one of a device that may not send any.
func (a *Adapter) showRejectedDatagram(packet *ingest.Packet, imei string) {
	if !a.Tap.Watched() {
		return
	}
	a.Tap.Offer(&tap.Packet{Time: time.Now(), IMEI: imei, Address: packet.From, Transport: transportUDP,
		Kind: tap.Datagram, Outcome: tap.Rejected, Stranger: true, Bytes: packet.Data, Size: len(packet.Data)})
}

// show shows the datagram, of which so many records are acknowledged.
func (o *pendingDatagram) show(acknowledged int, err error) {
	if !o.Tap.Watched() || o.bytes == nil {
		return
	}
	p := tap.Packet{Time: o.Received, IMEI: o.DeviceID, Address: o.packet.From, Transport: transportUDP,
		Kind: tap.Datagram, Outcome: cmp.Or(o.fate.outcome, tap.Empty), Reason: o.fate.reason, Bytes: o.bytes,
		Size: len(o.bytes), Err: err}
	if acknowledged != notAcknowledged {
		d := teltonika.Datagram{PacketID: o.id, AVLPacketID: o.avlID}
		p.Answer, p.Took = d.AppendAnswer(nil, acknowledged), time.Since(o.Received)
	}
	o.Tap.Offer(&p)
}

// The errors of packets that are shown. Their texts are made only for a tap that shows them.
type (
	cutOff struct {
		*partial
		reason ingest.CloseReason
	}
	withCause struct{ error }
)

func (e *cutOff) Error() string {
	return fmt.Sprintf("cut off after %d bytes: %s", e.have, e.cause(e.reason))
}

func (e withCause) Error() string {
	if f := (*foreignError)(nil); errors.As(e.error, &f) {
		return f.Error() + ": " + f.cause
	}
	return e.error.Error()
}
