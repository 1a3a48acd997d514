package teltonikasession

import (
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// buggy is an authority that cannot cope with one device.
type buggy struct{}

func (buggy) Known(imei string) bool {
	if imei == "350000000000666" {
		panic("a bug in the authority")
	}
	return true
}

func TestPanicIsContained(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		victim := s.dial()
		victim.send(loginOf("350000000000666"))
		victim.expectClosed("")
		s.expectReason(ingest.ReasonPanic)
		d.expectAlive()
	}, func(o *Options) { o.Authority = buggy{} })
}

// buggyFrame is a frame of 100 records whose encoding panics.
func buggyFrame(quota *publish.Quota) *frameContext {
	w := &frameContext{source: source{quota: quota}}
	w.packet.Hold(record.Origin{DeviceID: imei, Codec: teltonika.Codec8}, nil, nil, 0)
	w.packet.Records = make([]teltonika.Record, 100)
	w.packet.Records[99].Timestamp = record.MaxTimestamp + 1
	w.packet.MayDeadLetter = func(error) error { panic("a bug") }
	return w
}

// Not even a bug in the encoding of a frame may cost the queue room, which belongs to all devices.
func TestPanicGivesTheQueuesRoomBack(t *testing.T) {
	serve(t, func(s *service) {
		session := &session{Adapter: s.adapter, device: &device{sender: sender{imei: imei}}}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			session.store(buggyFrame(nil))
		}()
		if n := s.publisher.Queued(); n != 0 {
			t.Errorf("%d records queued", n)
		}
	})
}
