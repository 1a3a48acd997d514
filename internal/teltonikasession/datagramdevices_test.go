package teltonikasession

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

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

// Whoever has sent a datagram lately is counted, and logged once.
func TestDevicesOfDatagrams(t *testing.T) {
	servePackets(t, func(s *packetService) {
		expect := func(want float64) {
			t.Helper()
			s.expectMetric(want, "teltonika_udp_devices_active")
		}
		expect(0)
		s.send(datagramOf(imei, 1, goodFrame(2)))
		s.expect(answerTo(1, 2))
		expect(1)
		pass(time.Minute)
		s.socket.Send(datagramOf(imei, 2, frameOf(teltonika.Codec8E, fresh(3)...)), spoofedAddress(1))
		pass(time.Second)
		s.socket.Answers()
		p := s.presence(imei)
		if p.Address != spoofedAddress(1).String() || p.Codec != "8E" || p.Frames != 2 || p.Records != 5 {
			t.Errorf("%+v", p)
		}

		// What is not acknowledged is a sign of life and no more.
		s.send(datagramOf(spoofed(1), 1, bodyFrame(0x61, 1, 1)))
		s.expect()
		expect(2)
		if p := s.presence(spoofed(1)); !p.Connected || p.Codec != "" || p.Frames != 0 {
			t.Errorf("%+v", p)
		}
		pass(idleTimeout - time.Second + 1)
		expect(1)
		pass(time.Second)
		expect(0)
		if n := s.log.Count("device seen by udp"); n != 2 {
			t.Errorf("%d devices logged", n)
		}
	}, withDevices)
}

// The table does not grow with what is sent: it keeps the devices heard last.
func TestDevicesOfDatagramsAreBounded(t *testing.T) {
	d := newDatagramDevices(time.Hour)
	now := time.Unix(1_800_000_000, 0)
	see := func(imei string) bool {
		return d.see(&source{Origin: record.Origin{DeviceID: imei, Received: now}})
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

// Datagrams come while a device is asked for and the service stops; run with the race detector.
func TestDatagramsWhileDevicesAreListed(t *testing.T) {
	s := newPacketService(t, withDevices)
	address := s.listenUDP()
	done := make(chan struct{})
	go func() {
		defer close(done)
		stormDevice(t, address, imei, 1, [][]byte{goodFrame(1), goodFrame(2), malformed(1), goodFrame(1)})
	}()
	for {
		if p, seen := s.adapter.Devices.Presence(imei); seen && (p.IMEI != imei || p.Transport != "udp") {
			t.Errorf("device %+v", p)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
