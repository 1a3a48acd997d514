package redisstream

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
)

// relay stands between an engine and a real Redis and passes commands and answers on, one by one.
type relay struct {
	redis atomic.Value // address of the Redis that new connections get to
	l     net.Listener
	conns sync.WaitGroup

	// intercept, if set, sees every command before Redis does, its name in capitals. A non-empty answer goes back
	// instead of Redis's; cut closes the connection after Redis has executed the command and
	// before its answer goes back.
	intercept func(command []string) (answer string, cut bool)
}

// startRelay starts a relay to the server and returns it; its url is the engine's.
func startRelay(t *testing.T, r *testkit.Redis, intercept func(command []string) (answer string, cut bool)) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &relay{l: l, intercept: intercept}
	p.redis.Store(r.Addr())
	p.conns.Go(p.accept)
	t.Cleanup(p.stop)
	return p
}

// stop waits until everything that clients have sent before they left is passed on.
func (p *relay) stop() {
	_ = p.l.Close()
	p.conns.Wait()
}

func (p *relay) url() string { return "redis://" + p.l.Addr().String() }

func (p *relay) accept() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		p.conns.Go(func() {
			defer func() { _ = c.Close() }()
			_ = p.serve(c)
		})
	}
}

func (p *relay) serve(c net.Conn) error {
	up, err := net.Dial("tcp", p.redis.Load().(string))
	if err != nil {
		return err
	}
	defer func() { _ = up.Close() }()
	in, answers := bufio.NewReader(c), bufio.NewReader(up)
	for {
		var raw bytes.Buffer
		var words []string
		if err := copyValue(in, &raw, &words); err != nil {
			return err
		}
		words[0] = strings.ToUpper(words[0])
		answer, cut := p.intercept(words)
		if answer == "" {
			if _, err := up.Write(raw.Bytes()); err != nil {
				return err
			}
			raw.Reset()
			if err := copyValue(answers, &raw, nil); err != nil {
				return err
			}
			answer = raw.String()
		}
		if cut {
			return io.EOF
		}
		if _, err := io.WriteString(c, answer); err != nil {
			return err
		}
	}
}

// copyValue copies one RESP2 value, and lists the bulk strings in it if asked to.
func copyValue(r *bufio.Reader, to *bytes.Buffer, bulks *[]string) error {
	line, err := r.ReadString('\n')
	if err != nil {
		return err
	}
	to.WriteString(line)
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '*':
		for range n {
			if err := copyValue(r, to, bulks); err != nil {
				return err
			}
		}
	case '$':
		if n < 0 {
			return nil
		}
		b := make([]byte, n+2)
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		to.Write(b)
		if bulks != nil {
			*bulks = append(*bulks, string(b[:n]))
		}
	}
	return nil
}

// isXADD says whether the command adds an entry to the stream, and is no probe.
func isXADD(command []string, stream string) bool {
	return command[0] == "XADD" && command[1] == stream && command[2] == "*"
}
