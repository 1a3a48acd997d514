package teltonikasession

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// listed has the test's device on a list, and nobody else.
func listed(o *Options) { o.Listed = true }

func rates(device, address int) func(*Options) {
	return func(o *Options) { o.UnlistedRate, o.UnlistedAddressRate = device, address }
}

// A device that is on no list has its rate, and what it keeps meanwhile is taken later; one on the list has no bound.
func TestRecordsOfAnUnlistedDeviceAreBounded(t *testing.T) {
	serve(t, func(s *service) {
		stranger, device := s.loginAs("350000000000000"), s.login()
		for range 600 / 200 {
			stranger.send(goodFrame(200))
			stranger.expect(ack(200))
		}
		frame := goodFrame(100)
		stranger.send(frame)
		stranger.expect("")
		s.expectMetric(100, "teltonika_records_refused_total", "reason=unlisted")
		for range 10 {
			device.send(goodFrame(200))
			device.expect(ack(200))
		}
		pass(100 * time.Second)
		stranger.send(frame)
		stranger.expect(ack(100))
	}, listed, rates(1, 0))
}

// Without a list every device is on none, and any frame is taken at some time.
func TestFrameOfAnySizeIsTakenOfAnUnlistedDevice(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		frame := goodFrame(255)
		for _, n := range []int{255, 255, 90} {
			d.send(goodFrame(n))
			d.expect(ack(n))
		}
		d.send(frame)
		d.expect("")
		pass(255 * time.Second)
		d.send(frame)
		d.expect(ack(255))
	}, rates(1, 1))
}

// Who makes up a device for each frame has the rate of his address.
func TestRecordsOfAnAddressAreBounded(t *testing.T) {
	u, now := newUnlisted(&Options{UnlistedRate: 100, UnlistedAddressRate: 10}), time.Unix(1_800_000_000, 0)
	o := source{network: netip.MustParseAddr("192.0.2.1")}
	stored := 0
	for i := range 1000 {
		o.DeviceID = fmt.Sprint(i)
		if u.spend(&o, 100, now) {
			stored += 100
		}
	}
	if stored != 10*600 {
		t.Errorf("%d records stored", stored)
	}
	o.network = netip.MustParseAddr("192.0.2.2")
	if !u.spend(&o, 100, now) {
		t.Error("another address is bounded too")
	}
	o.network, o.onList = netip.MustParseAddr("192.0.2.1"), true
	if !u.spend(&o, 100, now) {
		t.Error("a device on the list is bounded")
	}
}

// Whoever uses a device's name at another address, or in datagrams from any, uses up nothing of what the device may
// store.
func TestNobodyUsesUpTheRateOfAnUnlistedDevice(t *testing.T) {
	servePackets(t, func(s *packetService) {
		elsewhere := s.dialFrom("192.0.2.1")
		elsewhere.send(loginOf(imei))
		elsewhere.expect("01")
		for range 600 / 200 {
			elsewhere.send(goodFrame(200))
			elsewhere.expect(ack(200))
		}
		for i := range 15 {
			s.send(datagramOf(imei, byte(i), goodFrame(50)))
			synctest.Wait()
		}
		s.expectMetric(3*50, "teltonika_records_refused_total", "reason=unlisted", "transport=udp")
		d := s.dialFrom(home.Addr().String()) // a datagram's address may be made up as well
		d.send(loginOf(imei))
		d.expect("01")
		d.expectAlive()
	}, rates(1, 0))
}

// Nor does the dead letters' number of one address leave any less to the device at another.
func TestNobodyUsesUpTheDeadLettersOfADevice(t *testing.T) {
	q, now := newDeadLetterQuota(deadLetterBytes, maxFrameBytes), time.Unix(1_800_000_000, 0)
	stranger := source{network: netip.MustParseAddr("192.0.2.1")}
	device := source{network: netip.MustParseAddr("192.0.2.2")}
	for _, o := range []*source{&stranger, &device} {
		o.DeviceID, o.Received = imei, now
	}
	for q.spend(&stranger, 100, now) {
	}
	if !q.spend(&device, 100, now) {
		t.Error("a stranger has used up the dead letters of the device")
	}
}

// Many small frames of an address leave room for a large one.
func TestSmallFramesOfAnAddressDoNotStarveLargeOnes(t *testing.T) {
	u, now := newUnlisted(&Options{UnlistedAddressRate: 10}), time.Unix(1_800_000_000, 0)
	o := source{network: netip.MustParseAddr("192.0.2.1")}
	large := 0
	for i := range 10 * 3600 {
		now = now.Add(100 * time.Millisecond)
		if i%7 == 0 && u.spend(&o, teltonika.MaxRecords, now) {
			large++
		}
		u.spend(&o, 1, now)
	}
	if large < 30 {
		t.Errorf("%d large frames within an hour", large)
	}
}

// Messages are not sent again, so they are not refused: their connection is not read on.
func TestMessagesOfAnUnlistedDeviceWait(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		for _, n := range []int{255, 255, 90} {
			d.send(goodFrame(n))
			d.expect(ack(n))
		}
		go d.send(messageFrame(t, 12, 6, "card 1", "card 2"))
		d.expect("")
		s.expectMessages()
		pass(3 * time.Second)
		s.expectMessages("card 1", "card 2")
	}, rates(1, 0))
}

// One connection that sends messages as fast as it can stores no more than the rate of its address; so do records with
// far more than usual in them. Nothing is lost. A device of another address, one on the list, and ordinary records are
// not held up.
func TestBulkOfAnAddressIsDelayed(t *testing.T) {
	const rate = 1000
	bulky := func(o *Options) { o.UnlistedAddressBytes = rate }
	for name, frame := range map[string]func() []byte{
		"messages": func() []byte { return messageFrame(t, 12, 6, strings.Repeat("x", 7000)) },
		"records": func() []byte {
			r := fresh(1)
			r[0].AddBytes(385, teltonika.GroupX, bytes.Repeat([]byte{7}, 7500))
			return frameOf(teltonika.Codec8E, r...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				flooder := s.dialFrom("192.0.2.1")
				flooder.send(loginOf("350000000000000"))
				flooder.expect("01")
				go func() {
					for range 25 {
						flooder.send(frame())
					}
				}()
				stored := func() int { return len(s.engine.Messages()) + len(s.engine.Records()) }
				synctest.Wait()
				if n := stored(); n < 8 || n > 10 {
					t.Errorf("%d are stored at once", n)
				}
				pass(100 * time.Second)
				if n := stored(); n < 20 || n > 24 {
					t.Errorf("%d are stored after 100 s", n)
				}
				neighbour := s.dialFrom("192.0.2.1")
				neighbour.send(loginOf(imei))
				neighbour.expect("01")
				neighbour.expectAlive()
				neighbour.send(messageFrame(t, 12, 6, "of a device on the list"))
				synctest.Wait()
				s.expectMetric(0, "teltonika_messages_refused_total")
				pass(time.Minute)
				if n := stored(); n != 25+2+1 {
					t.Errorf("%d are stored in the end", n)
				}
			}, listed, bulky)
		})
	}
}
