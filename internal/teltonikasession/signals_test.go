package teltonikasession

import (
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	devices "git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// elementsFrame is a frame with a record of these elements: id, group and value.
func elementsFrame(elements ...[3]uint64) []byte {
	r := fresh(1)[0]
	r.Elements = nil
	for _, el := range elements {
		r.AddNumber(uint16(el[0]), teltonika.Group(el[1]), el[2])
	}
	return frameOf(teltonika.Codec8E, r)
}

var (
	wheelSpeed  = [3]uint64{80, uint64(teltonika.Group4), 12}   // no FMB device has it in four bytes
	distance    = [3]uint64{113, uint64(teltonika.Group4), 900} // nor that
	temperature = [3]uint64{25, uint64(teltonika.Group2), 300}  // of Bluetooth sensors or of the engine
)

// withDevices has devices remembered, in this process alone.
func withDevices(o *Options) {
	o.Devices = devices.New(devices.Options{
		Instance: instance, DatagramIdle: o.IdleTimeout, Metrics: devices.NewMetrics(prometheus.NewRegistry()),
		Logger: o.Logger,
	})
}

// TestSignals: what elements mean is told from all that the device has sent on the connection, and only on request.
func TestSignals(t *testing.T) {
	for _, signals := range []bool{false, true} {
		serve(t, func(s *service) {
			d := s.login()
			d.send(elementsFrame(temperature))
			d.send(elementsFrame(wheelSpeed, distance))
			d.send(elementsFrame(temperature))
			d.expect(ack(1) + ack(1) + ack(1))
			const named = `"signals":{"can.engine.temperature":30},"device":{"family":"fmx6","by":"elements"},"dict":`
			for i, want := range []bool{false, false, signals} {
				if p := s.engine.Records()[i].Payload; strings.Contains(p, named) != want {
					t.Errorf("Signals %v, record %d: %s", signals, i+1, p)
				}
			}
		}, withDevices, func(o *Options) { o.Signals = signals })
	}
}

func TestSignalsOfDatagrams(t *testing.T) {
	servePackets(t, func(s *packetService) {
		s.send(datagramOf(imei, 7, elementsFrame(wheelSpeed, distance, temperature)))
		s.expect(answerTo(7, 1))
		if p := s.engine.Records()[0].Payload; !strings.Contains(p, `"can.engine.temperature":30`) {
			t.Error(p)
		}
	}, withDevices, func(o *Options) { o.Signals = true })
}
