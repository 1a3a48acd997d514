package teltonika_test

import (
	"fmt"
	"io"
	"net"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// serve takes one device's records. A real server sets deadlines, and acknowledges only what it has stored.
func serve(conn net.Conn, store func(imei string, r *teltonika.Record) error) error {
	defer conn.Close()
	imei, err := teltonika.ReadLogin(conn)
	if err != nil {
		return err
	}
	if _, err := conn.Write(teltonika.AppendLoginAnswer(nil, true)); err != nil {
		return err
	}
	var data teltonika.AVLData // reused for every frame
	for {
		frame, err := teltonika.ReadFrame(conn, 65536)
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if frame.Verify() != nil || !frame.Codec().IsAVL() || data.Decode(frame.Body()) != nil {
			continue // no answer: the device sends it again
		}
		for i := range data.Records {
			if err := store(imei, &data.Records[i]); err != nil {
				return err
			}
		}
		if _, err := conn.Write(teltonika.AppendAck(nil, len(data.Records))); err != nil {
			return err
		}
	}
}

// A server, to which a device sends one record.
func Example_server() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		if conn, err := net.Dial("tcp", listener.Addr().String()); err == nil {
			send(conn, "356307042441013", teltonika.Record{Timestamp: 1700000000000, Latitude: 546870000, Longitude: 252797000})
			conn.Close()
		}
	}()
	conn, err := listener.Accept()
	if err != nil {
		fmt.Println(err)
		return
	}
	err = serve(conn, func(imei string, r *teltonika.Record) error {
		fmt.Printf("%s was at %d, %d\n", imei, r.Latitude, r.Longitude)
		return nil
	})
	fmt.Println("ended with", err)
	// Output:
	// 356307042441013 was at 546870000, 252797000
	// ended with <nil>
}
