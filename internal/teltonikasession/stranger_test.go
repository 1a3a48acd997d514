package teltonikasession

import (
	"net/netip"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device/stranger"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/ingest"
)

// Whoever does not log in is taken down as a stranger, with a line in the log. Whoever does is none.
func TestStrangersAreTakenDown(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(d *tracker)
		cause stranger.Cause
		imei  string
		line  string
	}{
		"malformed": {func(d *tracker) { d.send([]byte("\x00\x11" + imei + "\r\n")) },
			stranger.CauseMalformedLogin, imei, "login malformed"},
		"cut off by the device": {func(d *tracker) { d.send(loginOf(imei)[:9]); d.conn.Close() },
			stranger.CauseCutOff, "", "connection ended inside a frame or login"},
		"cut off by time": {func(d *tracker) { d.send(loginOf(imei)[:9]); pass(handshakeTimeout) },
			stranger.CauseCutOff, "", "connection ended inside a frame or login"},
		"silent": {func(d *tracker) { pass(handshakeTimeout) },
			stranger.CauseSilent, "", "connection ended without a byte"},
		"silent end": {func(d *tracker) { d.conn.Close() }, stranger.CauseSilent, "", "connection ended without a byte"},
		"foreign": {func(d *tracker) { d.send([]byte("GET /?id=" + imei + " HTTP/1.1\r\n")) },
			stranger.CauseForeign, "", "login malformed"}, // of which the pipe shows only the first bytes
		"no stranger":     {func(d *tracker) { d.send(loginOf(imei)); d.conn.Close() }, "", "", "device connected"},
		"malformed later": {func(d *tracker) { d.send(loginOf(imei)); d.send([]byte("zz")) }, "", "", "device connected"},
		"cut off in a frame": {func(d *tracker) { d.send(loginOf(imei)); d.send(goodFrame(1)[:20]); d.conn.Close() },
			"", "", "connection ended inside"},
		"the server is to go": {func(d *tracker) { d.stop() }, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			ring := stranger.NewRing("a")
			serve(t, func(s *service) {
				d := s.dialFrom("192.0.2.1")
				c.do(d)
				d.answers()
				all := ring.All()
				if c.cause == "" && len(all) > 0 || c.cause != "" && (len(all) != 1 || all[0].Cause != c.cause ||
					all[0].IMEI != c.imei || all[0].Address != "192.0.2.1:40000" || all[0].Door != stranger.DoorTCP) {
					s.Errorf("strangers %+v", all)
				}
				if !s.log.Has(c.line) {
					s.Errorf("logged:\n%s", s.log)
				}
			}, func(o *Options) { o.Strangers = ring })
		})
	}
}

// A health check that ends plain connections is logged once.
func TestSilentConnectionsAreLoggedOnce(t *testing.T) {
	ring := stranger.NewRing("a")
	serve(t, func(s *service) {
		for range 10 {
			d := s.dialFrom("192.0.2.1")
			d.conn.Close()
			d.answers()
		}
		if all := ring.All(); s.log.Count("connection ended without a byte") != 1 || len(all) != 1 || all[0].Count != 10 {
			s.Errorf("%+v, logged:\n%s", all, s.log)
		}
	}, func(o *Options) { o.Strangers = ring })
}

// What comes by UDP and is no datagram of a device is one, too.
func TestStrangersByUDP(t *testing.T) {
	ring := stranger.NewRing("a")
	serve(t, func(s *service) {
		s.adapter.Take(ingest.Packet{Data: loginOf(imei), From: netip.MustParseAddrPort("192.0.2.1:4000")})
		all := ring.All()
		if len(all) != 1 || all[0].Cause != stranger.CauseTCPOnUDP || all[0].IMEI != imei || all[0].Door != stranger.DoorUDP {
			s.Errorf("%+v", all)
		}
		if !s.log.Has("datagram malformed", "first=000f", "cause=") {
			s.Errorf("logged:\n%s", s.log)
		}
		for range 2 * datagramKnockRate.Burst { // of a flood some are enough
			s.adapter.Take(ingest.Packet{Data: loginOf(imei), From: netip.MustParseAddrPort("192.0.2.1:4000")})
		}
		if n := ring.All()[0].Count; n != uint64(datagramKnockRate.Burst) {
			s.Errorf("%d are taken down", n)
		}
	}, func(o *Options) { o.Strangers = ring })
}
