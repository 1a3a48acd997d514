// Command tcp-server takes trackers' records with the teltonika library alone, and prints them.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func main() {
	listener, err := net.Listen("tcp", os.Getenv("ADDRESS"))
	for err == nil {
		var conn net.Conn
		if conn, err = listener.Accept(); err == nil {
			go func() { log.Print(conn.RemoteAddr(), ": ", serve(conn)) }()
		}
	}
	log.Fatal(err)
}

func serve(conn net.Conn) error {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Minute))
	imei, err := teltonika.ReadLogin(conn)
	if err == nil {
		_, err = conn.Write(teltonika.AppendLoginAnswer(nil, true))
	}
	for err == nil {
		var frame teltonika.Frame
		var data teltonika.AVLData
		if frame, err = teltonika.ReadFrame(conn, 65536); err != nil || frame.Verify() != nil || !frame.Codec().IsAVL() {
			continue // without an answer the device sends it again
		}
		if err = data.Decode(frame.Body()); err == nil {
			for _, r := range data.Records { // a real server stores them here, for then it may acknowledge them
				fmt.Println(imei, time.UnixMilli(int64(r.Timestamp)).UTC(), float64(r.Latitude)/1e7, float64(r.Longitude)/1e7)
			}
			_, err = conn.Write(teltonika.AppendAck(nil, len(data.Records)))
		}
	}
	return err
}
