package redisstream

import (
	"syscall"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// A cut network is the kernel's to notice; here it is only checked that the kernel was told.
func TestSocketOptions(t *testing.T) {
	r := testkit.StartRedis(t)
	e := use(t, r, Options{})
	mustStore(t, e, 0, 1)
	tcp, _ := tcpConn(e.lanes[0].conn)
	raw, err := tcp.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) {
		for name, o := range map[string]struct{ level, option, want int }{
			"keep-alive":          {syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
			"keep-alive idle":     {syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, 5},
			"keep-alive interval": {syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, 5},
			"keep-alive count":    {syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, 3},
			"unacknowledged":      {syscall.IPPROTO_TCP, tcpUserTimeout, 20_000},
		} {
			if got, err := syscall.GetsockoptInt(int(fd), o.level, o.option); err != nil || got != o.want {
				t.Errorf("%s: %d, %v, want %d", name, got, err, o.want)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}
