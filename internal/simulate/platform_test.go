package simulate

import (
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/testkit"
	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// platform is a server that commands devices, over pipes: it acknowledges every frame and keeps every message.
type platform struct {
	t     *testing.T
	wg    sync.WaitGroup
	login []byte // written with the answer to a login

	mu    sync.Mutex
	conns []*platformConn
}

// platformConn is one connection of a device.
type platformConn struct {
	t        *testing.T
	conn     net.Conn
	imei     string
	began    time.Time
	out      chan []byte
	mu       sync.Mutex
	messages []received
	frames   int
	hold     bool // ACKs
	before   []byte
	behind   []byte // written with each ACK, once
}

type received struct {
	teltonika.Message
	codec teltonika.Codec
	at    time.Time
}

func (p *platform) dial(context.Context, int) (net.Conn, error) {
	near, far := net.Pipe()
	c := &platformConn{t: p.t, conn: far, out: make(chan []byte, 100), began: time.Now()}
	gone := make(chan struct{})
	p.wg.Go(func() {
		for {
			select {
			case b := <-c.out:
				if _, err := far.Write(b); err != nil {
					return
				}
			case <-gone:
				return
			}
		}
	})
	p.wg.Go(func() {
		defer close(gone)
		defer far.Close()
		c.read(p)
	})
	return near, nil
}

func (c *platformConn) read(p *platform) {
	s := server{tb: p.t}
	login := make([]byte, 17)
	if _, err := io.ReadFull(c.conn, login); err != nil {
		return
	}
	c.imei = string(login[2:])
	c.out <- append(teltonika.AppendLoginAnswer(nil, true), p.login...)
	p.mu.Lock()
	p.conns = append(p.conns, c)
	p.mu.Unlock()
	for {
		frame, err := s.readFrame(c.conn)
		if err != nil {
			return
		}
		if err := teltonika.Frame(frame).Verify(); err != nil {
			p.t.Error(err)
		}
		c.take(frame)
	}
}

func (c *platformConn) take(frame teltonika.Frame) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if frame.Codec().IsAVL() {
		c.frames++
		if !c.hold {
			c.out <- slices.Concat(c.before, teltonika.AppendAck(nil, frame.Count()), c.behind)
			c.before, c.behind = nil, nil
		}
		return
	}
	var m teltonika.Messages
	err := m.Decode(frame.Body())
	if err != nil {
		c.t.Error(err)
	}
	for _, message := range m.Messages {
		c.messages = append(c.messages, received{message, m.Codec, time.Now()})
	}
}

// connection waits for a device's nth connection, from 0.
func (p *platform) connection(n int) (c *platformConn) {
	testkit.EventuallyIn(p.t, "the connection", time.Hour, func() bool {
		synctest.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		if n < len(p.conns) {
			c = p.conns[n]
		}
		return c != nil
	})
	return c
}

// received are the messages until now.
func (c *platformConn) received() []received {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.messages)
}

func (c *platformConn) texts() []string {
	var texts []string
	for _, m := range c.received() {
		texts = append(texts, string(m.Payload))
	}
	return texts
}

func commandFrame(imei, text string) []byte {
	codec := teltonika.Codec12
	if imei != "" {
		codec = teltonika.Codec14
	}
	return messageFrame(codec, teltonika.Message{Type: teltonika.TypeCommand, IMEI: imei, Payload: []byte(text)})
}

const firstIMEI = "350000000000000"

// idle are the options of one device that has nothing to record.
func idle() Options {
	o := small("", 1, 0)
	o.Rate, o.Duration, o.Start = 0.0001, time.Hour, time.Time{}
	return o
}

// withPlatform runs a fleet and a script beside it, in virtual time. The run ends with the script.
func withPlatform(t *testing.T, o Options, p *platform, script func(t *testing.T, p *platform),
	check func(t *testing.T, l Ledger)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p.t = t
		o.Dial = p.dial
		ctx, cancel := context.WithCancel(t.Context())
		p.wg.Go(func() {
			defer cancel()
			script(t, p)
		})
		l, err := Run(ctx, o)
		if err != nil {
			t.Fatal(err)
		}
		p.wg.Wait()
		if check != nil {
			check(t, l)
		}
	})
}
