package examples

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

func TestTCPServer(t *testing.T) {
	t.Parallel()
	e := newExample(t, "tcp-server")
	address := fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t))
	r := e.start("ADDRESS=" + address)
	testkit.Eventually(t, "the server listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	d := testkit.Dial(t, address)
	d.MustLogin("356307042441013")
	damaged := d.Frame(teltonika.Codec8E, teltonika.Record{Timestamp: 1})
	damaged[len(damaged)-1] ^= 1
	d.Send(damaged)
	d.SendFrame(teltonika.Codec8E, teltonika.Record{Timestamp: 1560161086000, Latitude: 546_870_000,
		Longitude: 252_797_000}, teltonika.Record{Timestamp: 1560161087000})
	d.ExpectACK(2)
	want := "356307042441013 2019-06-10 10:04:46 +0000 UTC 54.687 25.2797\n" +
		"356307042441013 2019-06-10 10:04:47 +0000 UTC 0 0"
	testkit.Eventually(t, "both records are printed", func() bool { return strings.Join(r.lines(), "\n") == want })
}
