package teltonikasession

import (
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/publish"
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

// Not even a bug in the encoding of a frame may cost the queue room, which belongs to all devices.
func TestPanicGivesTheQueuesRoomBack(t *testing.T) {
	serve(t, func(s *service) {
		session := &session{Adapter: s.adapter, line: &line{imei: imei}}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			session.store(&work{}, 100, func(*publish.Frame, *work) error { panic("a bug") })
		}()
		if n := s.publisher.Queued(); n != 0 {
			t.Errorf("%d records queued", n)
		}
	})
}
