package teltonika_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// send is a device: it logs in, sends its records and returns when the server has acknowledged them. A real device
// sends them again until it has.
func send(conn net.Conn, imei string, records ...teltonika.Record) error {
	login, err := teltonika.AppendLogin(nil, imei)
	if err != nil {
		return err
	}
	answer := make([]byte, 4)
	if err := exchange(conn, login, answer[:1]); err != nil {
		return err
	}
	if answer[0] != teltonika.LoginAccept {
		return errors.New("refused")
	}
	data := teltonika.AVLData{Codec: teltonika.Codec8E, Records: records}
	frame, err := data.AppendFrame(nil)
	if err != nil {
		return err
	}
	if err := exchange(conn, frame, answer); err != nil {
		return err
	}
	if n := binary.BigEndian.Uint32(answer); int(n) != len(records) {
		return fmt.Errorf("%d of %d records acknowledged", n, len(records))
	}
	return nil
}

func exchange(conn net.Conn, packet, answer []byte) error {
	if _, err := conn.Write(packet); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, answer)
	return err
}

// A device that sends two records with IO elements.
func Example_device() {
	moving := teltonika.Record{Timestamp: 1700000000000, Latitude: 546870000, Longitude: 252797000, Speed: 60,
		Satellites: 12}
	moving.AddNumber(239, teltonika.Group1, 1)            // ignition
	moving.AddNumber(66, teltonika.Group2, 12345)         // external voltage, mV
	moving.AddBytes(256, teltonika.GroupX, []byte("VIN")) // in Codec 8 Extended only
	parked := teltonika.Record{Timestamp: 1700000060000, EventID: 239}
	parked.AddNumber(239, teltonika.Group1, 0)

	server, device := net.Pipe()
	go serve(server, func(string, *teltonika.Record) error { return nil })
	fmt.Println(send(device, "356307042441013", moving, parked))
	// Output: <nil>
}
