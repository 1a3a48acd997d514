package postgres

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// step is a statement on its way.
type step struct {
	results []engine.Result    // of the items that it stores
	key     func(i int) []byte // what the statement calls the i-th of them
	kind    engine.Kind        // of those that it removes to make room, if it has no results
	asks    bool               // for the removals
	shows   bool               // what the commit waits for: the last step
	answer  *pgconn.Result
}

// errWarned is what the server says of a commit that it has confirmed although no standby has it.
var errWarned = errors.New("the server warns of what it has committed")

// read takes all answers and the commit. Nothing of them counts before there is no error.
func (l *lane) read(p *pgconn.Pipeline) error {
	for i := range l.sent {
		answer, err := readAnswer(p)
		if err != nil {
			return err
		}
		l.sent[i].answer = answer
	}
	if err := readCommit(p); err != nil {
		return err
	}
	if err := l.warning(); err != nil {
		return err
	}
	return l.checkDurability(p)
}

func readAnswer(p *pgconn.Pipeline) (*pgconn.Result, error) {
	next, err := p.GetResults()
	if err != nil {
		return nil, err
	}
	reader, ok := next.(*pgconn.ResultReader)
	if !ok {
		return nil, fmt.Errorf("the server answers %T", next)
	}
	answer := reader.Read()
	return answer, answer.Err
}

func readCommit(p *pgconn.Pipeline) error {
	next, err := p.GetResults()
	if err != nil {
		return err
	}
	if _, committed := next.(*pgconn.PipelineSync); !committed {
		return fmt.Errorf("the server answers %T at the end", next)
	}
	return nil
}

// checkDurability looks at what the server was set to before it committed, and at what it is set to behind the commit:
// when its standbys are no longer set it confirms all that waits for them, without a warning.
func (l *lane) checkDurability(p *pgconn.Pipeline) error {
	required := l.e.opt.Durability
	if required != Replica {
		return nil
	}
	after, err := readAnswer(p)
	if err == nil {
		err = readCommit(p)
	}
	if err != nil {
		return err
	}
	before := l.sent[len(l.sent)-1].answer
	for _, shown := range []*pgconn.Result{before, after} {
		if err := required.check(string(shown.Rows[0][0]), string(shown.Rows[0][1])); err != nil {
			return err
		}
	}
	return nil
}

// warning is what the server has warned of, if it has.
func (l *lane) warning() error {
	if l.warned == nil {
		return nil
	}
	err := fmt.Errorf("%w: %s (%s)", errWarned, l.warned.Message, l.warned.Detail)
	l.warned = nil
	return err
}

// noteWarning is told what the server says beside its answers.
func (l *lane) noteWarning(n *pgconn.Notice) {
	if n.SeverityUnlocalized == "WARNING" || n.Severity == "WARNING" {
		l.warned = n
	}
}

// settle reads what the answers to a committed transaction say.
func (l *lane) settle() {
	buried := false
	for i := range l.sent {
		switch s := &l.sent[i]; {
		case s.results != nil:
			l.written += s.settle()
		case s.shows:
		case s.asks:
			l.noteRemovals(s.answer.Rows[0])
		case s.answer.CommandTag.RowsAffected() > 0:
			buried = buried || s.kind == engine.KindDeadLetter
			l.noteRoom(s.kind, s.answer.CommandTag.RowsAffected())
		}
	}
	if buried {
		// What was removed may have been of this very batch, which the caller remembers from now on.
		l.generation++
	}
}

// settle marks the duplicates and returns how many rows are new.
func (s *step) settle() int {
	row := s.answer.Rows[0]
	stored, _ := strconv.Atoi(string(row[0]))
	if stored == len(s.results) {
		return stored
	}
	fresh := make(map[string]bool, stored)
	for key := range strings.SplitSeq(string(row[1]), ",") {
		fresh[key] = true
	}
	for i := range s.results {
		key := string(s.key(i))
		s.results[i].Duplicate = !fresh[key]
		delete(fresh, key) // it comes again within the batch: that one is a duplicate
	}
	return stored
}

func (l *lane) noteRemovals(row [][]byte) {
	for i, k := range []engine.Kind{engine.KindDeadLetter, engine.KindMessage} {
		removals, _ := strconv.ParseUint(string(row[i]), 10, 32)
		l.epochs[k] = l.generation<<32 | removals
	}
}
