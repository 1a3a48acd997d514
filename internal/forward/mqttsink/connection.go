package mqttsink

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/mochi-mqtt/server/v2/packets"
)

// keepAlive is how long either side may be silent, in seconds, unless the broker wants less.
const keepAlive = 60

// flushAt is how many bytes of packets are gathered before they are written.
const flushAt = 64 << 10

// connection is one to a broker, from CONNECT to its end. One goroutine publishes; another reads.
type connection struct {
	net     net.Conn
	in      *bufio.Reader
	version byte
	timeout time.Duration // of a write

	out       bytes.Buffer // what has not been written yet
	lastID    uint16
	window    int // publications in flight at once, by the broker's word
	maxPacket int // bytes that the broker takes, 0: any number
	silence   time.Duration

	acks  chan packets.Packet
	close func()
	ended chan struct{} // closed when reading has ended
	err   error         // why, after that
}

// connect dials and says hello. It takes no longer than the timeout.
func (s *Sink) connect(ctx context.Context) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	c := &connection{net: conn, in: bufio.NewReader(conn), version: s.options.Version, timeout: s.options.Timeout,
		window: s.options.InFlight, silence: keepAlive * time.Second / 2, ended: make(chan struct{})}
	closed := make(chan struct{})
	c.close = sync.OnceFunc(func() { close(closed); _ = conn.Close() })
	stop := context.AfterFunc(ctx, c.close)
	err = s.hello(c)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.close()
		return nil, err
	}
	c.acks = make(chan packets.Packet, c.window)
	go c.read(closed)
	return c, nil
}

func (s *Sink) dial(ctx context.Context) (net.Conn, error) {
	if s.tls == nil {
		return (&net.Dialer{}).DialContext(ctx, "tcp", s.address)
	}
	return (&tls.Dialer{Config: s.tls}).DialContext(ctx, "tcp", s.address)
}

// hello sends CONNECT and takes what the broker's answer says of its limits.
func (s *Sink) hello(c *connection) error {
	password, err := s.options.Password.Read()
	if err != nil {
		return err
	}
	hello, err := connectPacket(c.version, s.options.ClientID, keepAlive, s.options.User, password)
	if err != nil {
		return err
	}
	if _, err := c.net.Write(hello); err != nil {
		return err
	}
	p, err := readPacket(c.in, c.version)
	switch {
	case err != nil:
		return fmt.Errorf("no answer to CONNECT: %w", err)
	case p.FixedHeader.Type != packets.Connack:
		return errors.New("the broker does not answer to CONNECT")
	case p.ReasonCode != 0:
		return fmt.Errorf("the broker refuses the connection: %s", reason(&p))
	case p.Properties.MaximumQosFlag && p.Properties.MaximumQos == 0:
		return errors.New("the broker takes QoS 0 only, with which records are lost")
	case p.Properties.RetainAvailableFlag && p.Properties.RetainAvailable == 0 && s.options.Retain:
		return errors.New("the broker retains nothing; do without FORWARD_MQTT_RETAIN")
	}
	if most := int(p.Properties.ReceiveMaximum); most > 0 {
		c.window = min(c.window, most)
	}
	if p.Properties.ServerKeepAliveFlag && p.Properties.ServerKeepAlive > 0 {
		c.silence = min(c.silence, time.Duration(p.Properties.ServerKeepAlive)*time.Second/2)
	}
	c.maxPacket = int(p.Properties.MaximumPacketSize)
	return nil
}

// read passes on what the broker acknowledges, and pings it when nothing is said, until the connection ends.
func (c *connection) read(closed <-chan struct{}) {
	c.err = c.readUntilError(closed)
	close(c.ended)
	c.close()
}

func (c *connection) readUntilError(closed <-chan struct{}) error {
	for {
		if err := c.await(); err != nil {
			return err
		}
		if err := c.net.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
			return err
		}
		p, err := readPacket(c.in, c.version)
		switch {
		case err != nil:
			return err
		case p.FixedHeader.Type == packets.Disconnect:
			return fmt.Errorf("the broker ends the connection: %s", reason(&p))
		case p.FixedHeader.Type == packets.Connack:
			return errors.New("the broker answers to CONNECT twice")
		case p.FixedHeader.Type == packets.Puback:
			select {
			case c.acks <- p:
			case <-closed:
				return net.ErrClosed
			}
		}
	}
}

// await waits for the first byte of a packet. Silence is answered with one ping.
func (c *connection) await() error {
	for pinged := false; ; pinged = true {
		if err := c.net.SetReadDeadline(time.Now().Add(c.silence)); err != nil {
			return err
		}
		_, err := c.in.Peek(1)
		if !errors.Is(err, os.ErrDeadlineExceeded) || pinged {
			return err
		}
		if err := c.write(pingPacket); err != nil {
			return err
		}
	}
}

// write may be called beside itself: a connection writes what it gets at once in one piece.
func (c *connection) write(b []byte) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	_, err := c.net.Write(b)
	return err
}

// errTooLarge is a message that the broker has said it does not take.
var errTooLarge = errors.New("packet too large")

// publish gives the message an id, and writes it with the next flush at the latest.
func (c *connection) publish(m message) (id uint16, err error) {
	if c.lastID++; c.lastID == 0 {
		c.lastID = 1
	}
	m.id = c.lastID
	before := c.out.Len()
	if err := appendPublish(&c.out, c.version, m); err != nil {
		return 0, err
	}
	if c.maxPacket > 0 && c.out.Len()-before > c.maxPacket {
		c.out.Truncate(before)
		return 0, errTooLarge
	}
	if c.out.Len() >= flushAt {
		return m.id, c.flush()
	}
	return m.id, nil
}

func (c *connection) flush() error {
	if c.out.Len() == 0 {
		return nil
	}
	err := c.write(c.out.Bytes())
	if c.out.Reset(); c.out.Cap() > 4*flushAt {
		c.out = bytes.Buffer{}
	}
	return err
}

// bye ends the connection as a client does that wants to.
func (c *connection) bye() {
	_ = c.net.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = c.net.Write(disconnectPacket)
	c.close()
	<-c.ended
}
