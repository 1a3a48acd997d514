package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
)

// statement is one prepared statement, used through the driver's own interfaces: database/sql
// would copy and check every argument again. Contexts are not passed on: the driver would start a
// goroutine for each call, and a write is not interrupted half way.
type statement struct {
	driver.Stmt
	args []driver.NamedValue
}

// bind puts the values into the statement's reused arguments.
func (s *statement) bind(values ...driver.Value) {
	s.size(len(values))
	for i, value := range values {
		s.args[i].Value = value
	}
}

// size makes room for n arguments.
func (s *statement) size(n int) {
	for len(s.args) < n {
		s.args = append(s.args, driver.NamedValue{Ordinal: len(s.args) + 1})
	}
	s.args = s.args[:n]
}

// exec runs the statement with its bound arguments.
func (s *statement) exec() (driver.Result, error) {
	return s.Stmt.(driver.StmtExecContext).ExecContext(context.Background(), s.args)
}

// each calls fn with every row of the result; the row is valid until fn returns.
func (s *statement) each(fn func(row []driver.Value) error) (err error) {
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(context.Background(), s.args)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		if err := rows.Next(row); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := fn(row); err != nil {
			return err
		}
	}
}

// number returns the one integer that the statement yields.
func (s *statement) number() (n int64, err error) {
	err = s.each(func(row []driver.Value) error {
		n, _ = row[0].(int64)
		return nil
	})
	return n, err
}
