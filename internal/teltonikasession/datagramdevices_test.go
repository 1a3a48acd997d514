package teltonikasession

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// spoofed is one of many identifiers.
func spoofed(i int) string { return fmt.Sprintf("86%013d", i) }

// spoofedAddress is one of many addresses.
func spoofedAddress(i int) netip.AddrPort {
	var ip [4]byte
	binary.BigEndian.PutUint32(ip[:], 10<<24|uint32(i))
	return netip.AddrPortFrom(netip.AddrFrom4(ip), 5000)
}

// expectDevices compares the list of devices.
func (s *packetService) expectDevices(want ...command.Device) {
	s.Helper()
	got := slices.Collect(s.adapter.DatagramDevices())
	if !slices.Equal(got, want) {
		s.Errorf("devices %+v, want %+v", got, want)
	}
	s.expectMetric(float64(len(want)), "teltonika_udp_devices_active")
}

func TestDevicesOfDatagrams(t *testing.T) {
	servePackets(t, func(s *packetService) {
		s.expectDevices()
		first := time.Now()
		s.send(datagramOf(imei, 1, goodFrame(2)))
		s.expect(answerTo(1, 2))
		a := command.Device{IMEI: imei, Since: first, LastSeen: first, Remote: home.String(), Transport: "udp", Codec: "8",
			Frames: 1, Records: 2}
		s.expectDevices(a)

		pass(time.Minute)
		moved := spoofedAddress(1)
		s.socket.Send(datagramOf(imei, 2, frameOf(teltonika.Codec8E, fresh(3)...)), moved)
		pass(time.Second)
		a.LastSeen, a.Remote, a.Codec, a.Frames, a.Records = first.Add(time.Minute), moved.String(), "8E", 2, 5
		s.socket.Answers()

		// What is not acknowledged is a sign of life and no more.
		s.send(datagramOf(spoofed(1), 1, bodyFrame(0x61, 1, 1)))
		s.expect()
		b := command.Device{IMEI: spoofed(1), Since: time.Now(), LastSeen: time.Now(), Remote: home.String(),
			Transport: "udp"}
		s.expectDevices(b, a)

		pass(idleTimeout - time.Second + 1)
		s.expectDevices(b)
		pass(time.Second)
		s.expectDevices()
		if n := s.log.Count("device seen by udp"); n != 2 {
			t.Errorf("%d devices logged", n)
		}
	})
}

// The table does not grow with what is sent: it keeps the devices heard last.
func TestDevicesOfDatagramsAreBounded(t *testing.T) {
	d := newDatagramDevices(time.Hour)
	now := time.Unix(1_800_000_000, 0)
	see := func(imei string) bool {
		return d.see(&pendingDatagram{source: source{Origin: record.Origin{DeviceID: imei, Received: now}}}, 1)
	}
	see(imei)
	for i := range 2 * maxDatagramDevices {
		see(spoofed(i))
		if i%1000 == 0 && see(imei) {
			t.Fatal("a device that sends is no longer listed")
		}
	}
	if n := d.count(now); n != maxDatagramDevices || d.seen.Len() != n {
		t.Errorf("%d devices, %d in the list, want %d", n, d.seen.Len(), maxDatagramDevices)
	}
	if see(spoofed(0)) != true || see(spoofed(2*maxDatagramDevices-1)) {
		t.Error("not those heard last are kept")
	}
}

// Datagrams come while devices are listed and the service stops; run with the race detector.
func TestDatagramsWhileDevicesAreListed(t *testing.T) {
	s := newPacketService(t)
	address := s.listenUDP()
	done := make(chan struct{})
	go func() {
		defer close(done)
		stormDevice(t, address, imei, 1, [][]byte{goodFrame(1), goodFrame(2), malformed(1), goodFrame(1)})
	}()
	for {
		for d := range s.adapter.DatagramDevices() {
			if d.IMEI != imei || d.Transport != "udp" || time.Since(d.LastSeen) < 0 {
				t.Errorf("device %+v", d)
			}
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
