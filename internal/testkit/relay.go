package testkit

import (
	"fmt"
	"io"
	"net"
	"sync"
)

// Relay is an address of its own in front of a server, with the faults that a network has.
type Relay struct {
	addr, server string

	mu      sync.Mutex
	l       net.Listener // nil while it is cut
	conns   map[net.Conn]bool
	hanging chan struct{} // closed when answers flow again; nil while they do
	held    int           // answers that were kept back
	running sync.WaitGroup
}

// NewRelay starts a relay on a free loopback port.
func NewRelay(server string) (*Relay, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	r := &Relay{addr: fmt.Sprint("127.0.0.1:", port), server: server, conns: map[net.Conn]bool{}}
	return r, r.Join()
}

// Addr is the relay's address.
func (r *Relay) Addr() string { return r.addr }

// Join takes connections again after Cut.
func (r *Relay) Join() error {
	l, err := net.Listen("tcp", r.addr)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addr, r.l = l.Addr().String(), l
	r.running.Go(func() { r.accept(l) })
	return nil
}

// Cut closes all connections, and refuses new ones.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.l != nil {
		_ = r.l.Close()
		r.l = nil
	}
	r.drop()
}

// Drop closes all connections. Answers that hang are lost.
func (r *Relay) Drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop()
}

func (r *Relay) drop() {
	for c := range r.conns {
		_ = c.Close()
	}
	clear(r.conns)
	r.resume()
}

// Hang passes on what clients say and keeps the answers, until Resume or the end of the connections.
func (r *Relay) Hang() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hanging == nil {
		r.hanging = make(chan struct{})
	}
}

// Held is how many answers have been kept back.
func (r *Relay) Held() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.held
}

// Resume lets the answers go on.
func (r *Relay) Resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.resume()
}

func (r *Relay) resume() {
	if r.hanging != nil {
		close(r.hanging)
		r.hanging = nil
	}
}

// Close ends the relay.
func (r *Relay) Close() {
	r.Cut()
	r.running.Wait()
}

func (r *Relay) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", r.server)
		if err != nil {
			_ = c.Close()
			continue
		}
		r.mu.Lock()
		r.conns[c], r.conns[up] = true, true
		cut := r.l != l
		r.mu.Unlock()
		if cut {
			r.forget(c, up)
			return
		}
		r.running.Go(func() {
			_, _ = io.Copy(up, c)
			r.forget(c, up)
		})
		r.running.Go(func() {
			_, _ = io.Copy(c, answers{r, up})
			r.forget(c, up)
		})
	}
}

func (r *Relay) forget(conns ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(r.conns, c)
	}
}

// answers are what the server says, while it is not held back.
type answers struct {
	r    *Relay
	from net.Conn
}

func (a answers) Read(b []byte) (int, error) {
	n, err := a.from.Read(b)
	a.r.mu.Lock()
	hanging := a.r.hanging
	if hanging != nil {
		a.r.held++
	}
	a.r.mu.Unlock()
	if hanging != nil {
		<-hanging
	}
	return n, err
}
