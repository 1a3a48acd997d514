package redisstream

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// confirmation is the command that ends every batch when the answers to its XADDs alone promise
// too little, and what its answer must be. The zero value asks nothing.
type confirmation struct {
	command []byte
	check   func(*bufio.Reader) error
	// waits: the command waits for what this connection has written, and for nothing else.
	waits bool
}

// confirmTimeout bounds WAIT and WAITAOF.
const confirmTimeout = 10 * time.Second

// replicasTryMillis is how long replicas may take to say that they are there: they are asked every second.
const replicasTryMillis = "1000"

// confirmMillis is confirmTimeout as Redis takes it.
var confirmMillis = strconv.FormatInt(confirmTimeout.Milliseconds(), 10)

// errNoFsync needs somebody to change Redis.
var errNoFsync = fmt.Errorf("%w: redis cannot confirm an fsync: set appendonly yes, "+
	"and either upgrade to Redis 7.2 or later or set appendfsync always", engine.ErrDurability)

// tooFewReplicas is cured when another replica connects.
func tooFewReplicas(have, want int64) error {
	return fmt.Errorf("%w: %d of %d redis replicas have confirmed: "+
		"connect more replicas, or ask for fewer with REDIS_DURABILITY", engine.ErrDurability, have, want)
}

// agree chooses the confirmation and tries it, so that nothing is written that could not be
// confirmed afterwards.
func (l *lane) agree() (confirmation, error) {
	d, known := l.e.opt.Durability, false
	if l.e.elects() {
		var err error
		if known, err = l.agreeMaster(); err != nil {
			return confirmation{}, err
		}
	}
	c, err := confirmation{}, error(nil)
	switch {
	case d.Fsync && d.Replicas > 0:
		c, err = l.agreeQuorum(d.Replicas)
	case d.Replicas > 0:
		c, err = l.agreeReplicas(d.Replicas)
	case d.Fsync:
		c, err = l.agreeFsync()
	}
	if err == nil && known && d.Replicas > 0 {
		c = l.withRole(c)
	}
	return c, err
}

// errNoQuorum needs somebody to change Redis.
var errNoQuorum = fmt.Errorf("%w: redis cannot confirm an fsync of master and replica: "+
	"set appendonly yes at all of them, with Redis 7.2 or later, or Valkey; or ask for replicas=N",
	engine.ErrDurability)

// agreeQuorum has WAITAOF only: no setting makes replicas fsync before they confirm.
func (l *lane) agreeQuorum(n int) (confirmation, error) {
	wait := func(ms string) []byte { return appendCommand(nil, "WAITAOF", "1", strconv.Itoa(n), ms) }
	check := func(r *bufio.Reader) error { return checkQuorum(r, n) }
	if _, err := l.conn.Write(wait(replicasTryMillis)); err != nil {
		return confirmation{}, err
	}
	return confirmation{wait(confirmMillis), check, true}, check(l.in)
}

// checkQuorum reads WAITAOF's answer: 1 if the master has fsynced what was written before, and how many replicas have.
func checkQuorum(r *bufio.Reader, want int) error {
	answer, err := readReply(r)
	if err == nil {
		err = answer.err()
	}
	if err != nil {
		return quorumRefused(err)
	}
	var fsynced [2]int64
	if err := readNumbers(r, fsynced[:]); err != nil {
		return err
	}
	return missingFsync(fsynced[0], fsynced[1], int64(want))
}

// missingFsync says who has not fsynced.
func missingFsync(master, replicas, want int64) error {
	if master < 1 {
		return errors.New("redis has not fsynced in time")
	}
	if replicas < want {
		return fmt.Errorf("%w: %d of %d redis replicas have confirmed an fsync: connect more replicas, with appendonly yes, "+
			"or ask for less with REDIS_DURABILITY", engine.ErrDurability, replicas, want)
	}
	return nil
}

// quorumRefused adds the remedy to a refusal that waiting does not cure.
func quorumRefused(err error) error { return refused(err, errNoQuorum) }

func (l *lane) agreeReplicas(n int) (confirmation, error) {
	check := func(r *bufio.Reader) error { return checkReplicas(r, n) }
	wait := func(ms string) []byte { return appendCommand(nil, "WAIT", strconv.Itoa(n), ms) }
	if _, err := l.conn.Write(wait(replicasTryMillis)); err != nil {
		return confirmation{}, err
	}
	return confirmation{wait(confirmMillis), check, true}, check(l.in)
}

// agreeFsync prefers WAITAOF. Without it, appendfsync always makes Redis answer only after the
// fsync, and asking for the setting at the end of every batch notices when somebody changes it.
func (l *lane) agreeFsync() (confirmation, error) {
	_, err := l.ask("WAITAOF", "1", "0", "1")
	if err == nil {
		if err = readNumbers(l.in, make([]int64, 2)); err != nil {
			return confirmation{}, err
		}
		return confirmation{appendCommand(nil, "WAITAOF", "1", "0", confirmMillis), checkFsynced, true}, nil
	}
	if !unknownCommand(err) {
		return confirmation{}, fsyncRefused(err)
	}
	c := confirmation{command: appendCommand(nil, "CONFIG", "GET", "append*"), check: checkAlwaysFsynced}
	if _, err := l.conn.Write(c.command); err != nil {
		return confirmation{}, err
	}
	return c, c.check(l.in)
}

// unknownCommand says whether Redis is too old for the command.
func unknownCommand(err error) bool {
	answer, ok := asRefusal(err)
	return ok && strings.HasPrefix(string(answer), "ERR unknown command")
}

// fsyncRefused adds the remedy to a refusal that waiting does not cure.
func fsyncRefused(err error) error { return refused(err, errNoFsync) }

func refused(err, remedy error) error {
	answer, ok := asRefusal(err)
	if !ok || answer.transient() || answer.code() == "NOAUTH" {
		return err
	}
	return &engine.Error{Err: fmt.Errorf("%w (%w)", remedy, answer)}
}

// checkReplicas reads WAIT's answer: how many replicas have what was written before.
func checkReplicas(r *bufio.Reader, want int) error {
	answer, err := readReply(r)
	if err == nil {
		err = answer.err()
	}
	if err != nil {
		return err
	}
	if answer.n < int64(want) {
		return tooFewReplicas(answer.n, int64(want))
	}
	return nil
}

// checkFsynced reads WAITAOF's answer: 1 if the local fsync is done, and a number of replicas.
func checkFsynced(r *bufio.Reader) error {
	answer, err := readReply(r)
	if err == nil {
		err = answer.err()
	}
	if err != nil {
		return fsyncRefused(err)
	}
	var fsynced [2]int64
	if err := readNumbers(r, fsynced[:]); err != nil {
		return err
	}
	if fsynced[0] < 1 {
		return fmt.Errorf("redis has not fsynced within %s", confirmTimeout)
	}
	return nil
}

// readNumbers reads the elements of an array whose length has been read.
func readNumbers(r *bufio.Reader, into []int64) error {
	for i := range into {
		answer, err := readReply(r)
		if err != nil {
			return err
		}
		into[i] = answer.n
	}
	return nil
}

// checkAlwaysFsynced reads the answer to CONFIG GET: names and values in turn.
func checkAlwaysFsynced(r *bufio.Reader) error {
	answer, err := readReply(r)
	if err == nil {
		err = answer.err()
	}
	if err != nil {
		return fsyncRefused(err)
	}
	on, always := false, false
	for range answer.n / 2 {
		name, err := readReply(r)
		if err != nil {
			return err
		}
		setting := string(name.text)
		value, err := readReply(r)
		if err != nil {
			return err
		}
		on = on || setting == "appendonly" && string(value.text) == "yes"
		always = always || setting == "appendfsync" && string(value.text) == "always"
	}
	if !on || !always {
		return &engine.Error{Err: errNoFsync}
	}
	return nil
}
