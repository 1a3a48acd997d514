package main

import (
	"fmt"
	"net"
	"sync"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// TestEachDeviceOfAFleetIsInTheLog: a fleet comes at once and goes at once, and each device has its two lines.
func TestEachDeviceOfAFleetIsInTheLog(t *testing.T) {
	t.Parallel()
	const fleet, atOnce = 1500, 50
	s := startServer(t, embeddedStore(t).settings)
	connections := make([]net.Conn, fleet)
	var connecting sync.WaitGroup
	for part := range atOnce {
		connecting.Go(func() {
			for i := part; i < fleet; i += atOnce {
				var err error
				if connections[i], err = loginSilently(s.devices, fmt.Sprint(356307042400000+i)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	connecting.Wait()
	for _, c := range connections {
		if c != nil {
			c.Close()
		}
	}
	for _, message := range []string{"device connected", "device disconnected"} {
		testkit.EventuallyIn(t, "a line for each: "+message, patience, func() bool {
			found := map[any]bool{}
			for _, l := range s.lines(message) {
				found[l["imei"]] = true
			}
			return len(found) == fleet
		})
	}
}

// loginSilently connects a device that then says nothing.
func loginSilently(address, imei string) (net.Conn, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	hello, err := teltonika.AppendLogin(nil, imei)
	if err == nil {
		_, err = c.Write(hello)
	}
	if err == nil {
		_, err = c.Read(make([]byte, 1))
	}
	return c, err
}
