package teltonika_test

import (
	"fmt"
	"net"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// serveUDP takes the records of all devices. Anybody can send a datagram in the name of any device.
func serveUDP(conn net.PacketConn, store func(imei string, r *teltonika.Record) error) error {
	packet := make([]byte, 65536)
	var data teltonika.AVLData // reused for every datagram
next:
	for {
		n, from, err := conn.ReadFrom(packet)
		if err != nil {
			return err
		}
		datagram, err := teltonika.ParseDatagram(packet[:n])
		if err != nil || data.Decode(datagram.Body) != nil {
			continue // no answer: the device sends it again
		}
		for i := range data.Records {
			if store(datagram.IMEI, &data.Records[i]) != nil {
				continue next
			}
		}
		if _, err := conn.WriteTo(datagram.AppendAnswer(nil, len(data.Records)), from); err != nil {
			return err
		}
	}
}

// A server of datagrams, and a device that sends one record to it.
func Example_udp() {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	go serveUDP(server, func(imei string, r *teltonika.Record) error {
		fmt.Printf("%s was at %d, %d\n", imei, r.Latitude, r.Longitude)
		return nil
	})

	device, err := net.Dial("udp", server.LocalAddr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer device.Close()
	data := teltonika.AVLData{Codec: teltonika.Codec8, Records: []teltonika.Record{
		{Timestamp: 1700000000000, Latitude: 546870000, Longitude: 252797000},
	}}
	body, _ := data.AppendBody(nil)
	datagram, _ := teltonika.Datagram{PacketID: 0xCAFE, Type: 1, AVLPacketID: 7, IMEI: "356307042441013",
		Body: body}.Append(nil)
	device.Write(datagram)
	answer := make([]byte, teltonika.AnswerSize)
	device.Read(answer)
	taken, err := teltonika.ParseAnswer(answer)
	fmt.Println("packet", taken.AVLPacketID, "accepted", taken.Accepted, err)
	// Output:
	// 356307042441013 was at 546870000, 252797000
	// packet 7 accepted 1 <nil>
}
