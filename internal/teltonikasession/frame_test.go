package teltonikasession

import (
	"encoding/base64"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/record"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func TestFrameIsAnsweredWithItsNumberOfRecords(t *testing.T) {
	for _, codec := range []teltonika.Codec{teltonika.Codec8, teltonika.Codec8E, teltonika.Codec16} {
		for _, n := range []int{1, 2, 25, 255} {
			serve(t, func(s *service) {
				d := s.login()
				d.send(frameOf(codec, fresh(n)...))
				d.expect(ack(n))
				s.expectStored(n, 0)
				label := "codec=" + codec.String()
				s.expectMetric(1, "teltonika_frames_total", label, "result=ok")
				s.expectMetric(float64(n), "teltonika_records_received_total", label)
				s.expectMetric(float64(n), "teltonika_records_published_total", label)
				s.expectMetric(1, "teltonika_ack_latency_seconds")
			})
		}
	}
}

func TestFrameWithoutRecordsIsAnsweredWithZero(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		d.send(unhex(t, "00000000000000038e000000002b60"))
		d.expect(ack(0))
		s.expectStored(0, 0)
		s.expectMetric(1, "teltonika_frames_total", "codec=8E", "result=ok")
		// It is a sign of life of the line, not of the engine.
		s.engine.Hold()
		d.send(bodyFrame(0x08, 0, 0))
		d.expect(ack(0))
	})
}

// What is stored is what was sent, in its order.
func TestFrameIsStoredInOrder(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		records := fresh(20)
		d.send(frameOf(teltonika.Codec8E, records[:12]...))
		d.send(frameOf(teltonika.Codec8E, records[12:]...))
		d.expect(ack(12) + ack(8))
		for i, stored := range s.engine.Records() {
			want := string(record.AppendTime(nil, int64(records[i].Timestamp)))
			if stored.Time != want || stored.Codec != "8E" || stored.DeviceID != imei {
				t.Errorf("record %d: %+v, want time %s", i, stored, want)
			}
		}
	})
}

func TestFramesBackToBackAreAnsweredInOrder(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		var sent []byte
		want, records := "", 0
		for n := 1; n <= 30; n++ {
			sent = append(sent, goodFrame(n)...)
			want += ack(n)
			records += n
		}
		d.send(sent)
		d.expect(want)
		s.expectStored(records, 0)
	})
}

func TestFramesByteByByte(t *testing.T) {
	serve(t, func(s *service) {
		d := s.dial()
		for _, c := range slices.Concat(loginOf(imei), goodFrame(2), keepAlives(2), goodFrame(3)) {
			d.send([]byte{c})
		}
		d.expect("01" + ack(2) + ack(3))
		s.expectStored(5, 0)
	})
}

func TestFramesInRandomSegments(t *testing.T) {
	for seed := range uint64(200) {
		serve(t, func(s *service) {
			random := rand.New(rand.NewPCG(seed, 0))
			d := s.dial()
			stream, want := loginOf(imei), "01"
			for range 10 {
				n := 1 + random.IntN(40)
				stream = slices.Concat(stream, keepAlives(random.IntN(3)), goodFrame(n))
				want += ack(n)
			}
			for len(stream) > 0 {
				n := min(len(stream), 1+random.IntN(1<<random.IntN(11)))
				d.send(stream[:n])
				stream = stream[n:]
			}
			d.expect(want)
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// A frame of any allowed size is taken, and its buffer grows as it arrives.
func TestFrameUpToTheLargestSize(t *testing.T) {
	const limit = 4000
	for _, length := range []int{limit - 1, limit, limit + 1} {
		serve(t, func(s *service) {
			d := s.login()
			r := fresh(1)
			overhead := len(frameOf(teltonika.Codec8E, r...)) - teltonika.HeaderSize - teltonika.TrailerSize + 4
			r[0].AddBytes(256, teltonika.GroupX, make([]byte, length-overhead))
			frame := frameOf(teltonika.Codec8E, r...)
			if got := len(frame) - 12; got != length {
				t.Fatalf("data field of %d bytes, want %d", got, length)
			}
			d.send(frame)
			if length <= limit {
				d.expect(ack(1))
				return
			}
			d.expectClosed("")
			s.expectReason(ReasonBadFrame)
		}, func(o *Options) { o.MaxFrameBytes = limit })
	}
}

func TestFrameThatLosesTheBoundariesCloses(t *testing.T) {
	for name, sent := range map[string]string{
		"length 0":                   "0000000000000000",
		"length 2":                   "0000000000000002",
		"length above the limit":     "0000000000010001",
		"length negative if signed":  "00000000ffffffff",
		"preamble 1":                 "0000000100000003",
		"preamble of another device": "7878110103563070",
		"HTTP":                       "474554202f204854",
	} {
		t.Run(name, func(t *testing.T) {
			serve(t, func(s *service) {
				d := s.login()
				d.expectAlive()
				d.send(unhex(t, sent))
				d.expectClosed("")
				s.expectReason(ReasonBadFrame)
				s.expectMetric(1, "teltonika_frames_total", "codec=unknown", "result=malformed")
				s.expectStored(2, 0)
			})
		})
	}
}

func TestFrameShortestLength(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		d.send(bodyFrame(0x08, 0, 0)) // length 3
		d.expect(ack(0))
	})
}

// The total of elements is not believed; nor has Codec 8 with a 16-byte group an id of its own.
func TestFrameVariantsAreAccepted(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		lying := goodFrame(1)
		lying[8+2+24+1]++ // total, behind the fixed part and the event id
		d.send(reseal(lying))
		d.expect(ack(1))

		r := fresh(2)
		r[0].AddBytes(250, teltonika.Group16, []byte("sixteen bytes ok"))
		data := teltonika.AVLData{Codec: teltonika.Codec8, N16: true, Records: r}
		frame, err := data.AppendFrame(nil)
		if err != nil {
			t.Fatal(err)
		}
		d.send(frame)
		d.expect(ack(2))
		s.expectStored(3, 0)
	})
}

func TestFramePriorityAboveTwoIsPublishedAsSent(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		r := fresh(3)
		r[0].Priority, r[1].Priority, r[2].Priority = 2, 3, 255
		d.send(frameOf(teltonika.Codec8, r...))
		d.expect(ack(3))
		s.expectMetric(2, "teltonika_priority_out_of_range_total")
		for i, want := range []string{`"priority":2`, `"priority":3`, `"priority":255`} {
			if p := s.engine.Records()[i].Payload; !strings.Contains(p, want+",") {
				t.Errorf("%s lacks %s", p, want)
			}
		}
	})
}

func TestFrameRecordRaw(t *testing.T) {
	for _, raw := range []bool{false, true} {
		serve(t, func(s *service) {
			d := s.login()
			frame := goodFrame(1)
			d.send(frame)
			d.expect(ack(1))
			record := base64.StdEncoding.EncodeToString(frame[10 : len(frame)-5])
			payload := s.engine.Records()[0].Payload
			if has := strings.HasSuffix(payload, `,"raw":"`+record+`"}`); has != raw ||
				strings.Contains(payload, `"raw"`) != raw {
				t.Errorf("RecordRaw %v: %s", raw, payload)
			}
		}, func(o *Options) { o.RecordRaw = raw })
	}
}

// Sent again a frame is acknowledged again and not stored again; so are single records in other frames.
func TestFrameSentAgainIsADuplicate(t *testing.T) {
	serve(t, func(s *service) {
		d := s.login()
		r := fresh(4)
		d.send(frameOf(teltonika.Codec8, r[:3]...))
		d.send(frameOf(teltonika.Codec8, r[:3]...))
		d.send(frameOf(teltonika.Codec8, r[1], r[3], r[1]))
		d.expect(ack(3) + ack(3) + ack(3))
		s.expectStored(4, 0)
		s.expectMetric(4, "teltonika_records_published_total")
		s.expectMetric(5, "teltonika_records_duplicate_total")
		// The same bytes of another device are another record.
		other := s.loginAs("350000000000000")
		other.send(frameOf(teltonika.Codec8, r...))
		other.expect(ack(4))
		s.expectStored(8, 0)
	})
}
