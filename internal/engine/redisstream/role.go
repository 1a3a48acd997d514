package redisstream

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// Sentinels promote a replica without asking the master, which may live on for seconds: cut off, thawed, or replaced by
// hand. What it takes then is lost, although a replica that has not been told yet confirms it. But the promoted one
// leaves the old master first. So a batch counts as replicated only while no replica has left that could have been
// promoted: either another master is named in a moment, or the sentinels find out that the missing one is down.

// role is the answer to ROLE.
type role struct {
	master   bool
	offset   int64 // how far a master has written to its replicas
	replicas []follower
}

// follower is a replica that is connected to its master.
type follower struct {
	address   string
	confirmed int64 // how far it has confirmed
}

// have says whether n replicas have confirmed everything up to the offset.
func (r role) have(n int, offset int64) bool {
	for _, f := range r.replicas {
		if f.confirmed >= offset {
			n--
		}
	}
	return n <= 0
}

// readRole reads
//
//	*3 $master :<offset> *<n> of *3 $<address> $<port> $<offset>     or     *5 $slave …
func readRole(r *bufio.Reader) (role, error) {
	answer, err := readReply(r)
	if err == nil {
		err = answer.err()
	}
	if err != nil {
		return role{}, err
	}
	name, err := readReply(r)
	if err != nil || answer.kind != '*' || answer.n != 3 || string(name.text) != "master" {
		answer.n--
		return role{}, firstError(err, skipElements(r, answer))
	}
	offset, err := readReply(r)
	if err != nil {
		return role{}, err
	}
	all := role{master: true, offset: offset.n}
	list, err := readReply(r)
	for i := int64(0); i < list.n && err == nil; i++ {
		err = all.readReplica(r)
	}
	return all, err
}

func firstError(all ...error) error {
	for _, err := range all {
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *role) readReplica(r *bufio.Reader) error {
	var words [3]string
	one, err := readReply(r)
	if err == nil && one.n != int64(len(words)) {
		return fmt.Errorf("redis describes a replica by %d words", one.n)
	}
	for i := range words {
		if err != nil {
			return err
		}
		one, err = readReply(r)
		words[i] = string(one.text)
	}
	f := follower{address: net.JoinHostPort(words[0], words[1])}
	f.confirmed, err = strconv.ParseInt(words[2], 10, 64)
	a.replicas = append(a.replicas, f)
	return err
}

var askRole = appendCommand(nil, "ROLE")

// askRole asks on the lane's connection.
func (l *lane) askRole() (role, error) {
	if _, err := l.conn.Write(askRole); err != nil {
		return role{}, err
	}
	return readRole(l.in)
}

// agreeMaster makes sure that the server which is named as the master is one. known is false if we may not ask.
func (l *lane) agreeMaster() (known bool, err error) {
	r, err := l.askRole()
	if err != nil {
		if optional(err) {
			return false, nil
		}
		return false, err
	}
	if !r.master {
		return false, fmt.Errorf("redis at %s is no master, although it is named as one", l.term.address)
	}
	return true, nil
}

// complete says what is wrong if a replica has left that could have been promoted.
func (t *term) complete(r role) error {
	if !r.master {
		return fmt.Errorf("redis at %s is no master any more", t.address)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	connected := map[string]bool{}
	for _, f := range r.replicas {
		connected[f.address], t.followers[f.address] = true, true
	}
	for address := range t.followers {
		if !connected[address] {
			return fmt.Errorf("%w: the redis replica %s has left the master %s: "+
				"waiting until another master is named, or the replica is found down",
				engine.ErrDurability, address, t.address)
		}
	}
	return nil
}

// attend takes what is said of the replicas by those who promote one: those that are linked to the master have to stay
// connected, and those that cannot be promoted need not come back.
func (t *term) attend(replicas map[string]replicaState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for address := range t.followers {
		if !replicas[address].promotable {
			delete(t.followers, address)
		}
	}
	for address, state := range replicas {
		if state.promotable && state.linked {
			t.followers[address] = true
		}
	}
}

// withRole adds to a confirmation that no replica has left.
func (l *lane) withRole(c confirmation) confirmation {
	t, confirmed := l.term, c.check
	c.command = append(c.command, askRole...)
	c.check = func(in *bufio.Reader) error {
		first := confirmed(in)
		r, err := readRole(in)
		return firstError(first, err, t.complete(r))
	}
	return c
}

// replicated waits until the replicas have all that the master had at the call. known is false if Redis does not say.
func (l *lane) replicated(ctx context.Context) (known bool, err error) {
	n := l.e.opt.Durability.Replicas
	if n == 0 || l.e.opt.Durability.Fsync {
		return false, nil
	}
	if err := l.conn.SetDeadline(time.Now().Add(l.e.patience)); err != nil {
		return false, err
	}
	r, err := l.askRole()
	offset, end := r.offset, time.Now().Add(confirmTimeout)
	for err == nil && !r.have(n, offset) {
		if time.Now().After(end) {
			return true, tooFewReplicas(0, int64(n))
		}
		if !pause(ctx, shortestBackoff) {
			return true, ctx.Err()
		}
		r, err = l.askRole()
	}
	if err != nil && optional(err) {
		return false, nil
	}
	return true, firstError(err, l.term.complete(r))
}
