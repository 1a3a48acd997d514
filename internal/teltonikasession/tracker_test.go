package teltonikasession

import (
	"encoding/binary"
	"encoding/hex"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// imei is the device that the service knows.
const imei = "356307042441013"

// tracker is a device's end of a connection. What the server sends is gathered in the background, so that writing
// never waits for the answers to be read.
type tracker struct {
	*service
	conn net.Conn

	mu     sync.Mutex
	got    []byte
	closed bool
}

func (s *service) dial() *tracker { return s.dialFrom("") }

// dialFrom connects from an IP address.
func (s *service) dialFrom(ip string) *tracker {
	var address net.Addr
	if ip != "" {
		address = &net.TCPAddr{IP: net.ParseIP(ip), Port: 40000}
	}
	d := &tracker{service: s, conn: s.listener.DialFrom(address)}
	go d.gather()
	s.Cleanup(func() { d.conn.Close() })
	return d
}

// login connects the known device.
func (s *service) login() *tracker {
	s.Helper()
	return s.loginAs(imei)
}

func (s *service) loginAs(imei string) *tracker {
	s.Helper()
	d := s.dial()
	d.send(loginOf(imei))
	d.expect("01")
	return d
}

func (d *tracker) gather() {
	b := make([]byte, 64)
	for {
		n, err := d.conn.Read(b)
		d.mu.Lock()
		d.got = append(d.got, b[:n]...)
		d.closed = err != nil
		d.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// send writes all of b in one piece, or what of it the server takes before it closes the connection.
func (d *tracker) send(b []byte) {
	if len(b) > 0 { // an empty write is an event on a pipe and nothing on a socket
		_, _ = d.conn.Write(b)
	}
}

// answers waits until nothing happens any more without time going on, and returns what has been received.
func (d *tracker) answers() (got string, closed bool) {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	got = hex.EncodeToString(d.got)
	d.got = nil
	return got, d.closed
}

// expect compares the answers since the last call, in hex, and that the connection is still open.
func (d *tracker) expect(want string) {
	d.Helper()
	if got, closed := d.answers(); got != want || closed {
		d.Errorf("answer %q, closed %v, want %q and an open connection", got, closed, want)
	}
}

// expectClosed is expect for a connection that the server has closed after the answers.
func (d *tracker) expectClosed(want string) {
	d.Helper()
	if got, closed := d.answers(); got != want || !closed {
		d.Errorf("answer %q, closed %v, want %q and a closed connection", got, closed, want)
	}
}

// expectAlive sends a new good frame, which must be answered.
func (d *tracker) expectAlive() {
	d.Helper()
	d.send(frameOf(teltonika.Codec8, fresh(2)...))
	d.expect(ack(2))
}

// pass lets virtual time go on.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func loginOf(imei string) []byte {
	b, err := teltonika.AppendLogin(nil, imei)
	if err != nil {
		panic(err)
	}
	return b
}

// ack is the answer to a frame in hex.
func ack(records int) string { return hex.EncodeToString(teltonika.AppendAck(nil, records)) }

// frameOf is a whole frame of the records.
func frameOf(codec teltonika.Codec, records ...teltonika.Record) []byte {
	data := teltonika.AVLData{Codec: codec, Records: records}
	frame, err := data.AppendFrame(nil)
	if err != nil {
		panic(err)
	}
	return frame
}

var (
	lastMu sync.Mutex
	last   = uint64(time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC).UnixMilli())
)

// fresh returns n records that no test has used yet.
func fresh(n int) []teltonika.Record {
	lastMu.Lock()
	defer lastMu.Unlock()
	records := make([]teltonika.Record, n)
	for i := range records {
		last += 1000
		r := &records[i]
		*r = teltonika.Record{Timestamp: last, Longitude: 252560283, Latitude: 546674250, Altitude: 172, Angle: 248,
			Satellites: 11, Speed: 42, Priority: 1}
		r.AddNumber(239, teltonika.Group1, 1)
		r.AddNumber(66, teltonika.Group2, 24079)
		r.AddNumber(199, teltonika.Group4, last%100_000)
	}
	return records
}

// goodFrame is a frame of n fresh records.
func goodFrame(n int) []byte { return frameOf(teltonika.Codec8, fresh(n)...) }

// bodyFrame is a frame with a right CRC around any data field.
func bodyFrame(body ...byte) []byte { return teltonika.AppendFrame(nil, body) }

// wrongCRC returns a copy of the frame with another CRC.
func wrongCRC(frame []byte) []byte {
	b := append([]byte(nil), frame...)
	b[len(b)-1] ^= 0x55
	return b
}

// malformed is a frame with a right CRC of which nothing but number of data 2 is wrong.
func malformed(records int) []byte {
	b := goodFrame(records)
	b[len(b)-teltonika.TrailerSize-1]++
	return reseal(b)
}

// reseal writes the right CRC into the frame.
func reseal(frame []byte) []byte {
	end := len(frame) - teltonika.TrailerSize
	binary.BigEndian.PutUint32(frame[end:], uint32(teltonika.CRC(frame[teltonika.HeaderSize:end])))
	return frame
}

// unhex reads hex.
func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
