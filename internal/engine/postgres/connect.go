package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// maxReaders is how many connections there are beside the lanes': of probes, tails and commands.
const maxReaders = 4

// connection is how a lane connects. Of several hosts, and also of one, it takes one that writes.
func (e *Engine) connection() (*pgconn.Config, error) {
	c, err := pgconn.ParseConfig(e.opt.URL)
	if err != nil {
		return nil, err
	}
	e.complete(c)
	return c, nil
}

func (e *Engine) complete(c *pgconn.Config) {
	if limit := connectLimit(c); c.ConnectTimeout == 0 || c.ConnectTimeout > limit {
		c.ConnectTimeout = limit
	}
	if c.ValidateConnect == nil {
		c.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	if _, named := c.RuntimeParams["application_name"]; !named {
		c.RuntimeParams["application_name"] = e.opt.Name
	}
	c.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error { return e.greet(ctx, conn) }
}

// connectLimit is how long one host may take to be connected to: where all others are silent, time is left to store.
func connectLimit(c *pgconn.Config) time.Duration {
	type host struct {
		name string
		port uint16
	}
	hosts := map[host]bool{{c.Host, c.Port}: true}
	for _, f := range c.Fallbacks {
		hosts[host{f.Host, f.Port}] = true
	}
	return answerPatience / time.Duration(len(hosts)+1)
}

// beginWithNext moves the first host behind the others: it may be a name of many addresses, all of which are silent.
func beginWithNext(c *pgconn.Config) {
	first := pgconn.FallbackConfig{Host: c.Host, Port: c.Port, TLSConfig: c.TLSConfig}
	all := append([]*pgconn.FallbackConfig{&first}, c.Fallbacks...)
	next := slices.IndexFunc(all, func(f *pgconn.FallbackConfig) bool { return f.Host != c.Host || f.Port != c.Port })
	if next < 0 {
		return
	}
	all = slices.Concat(all[next:], all[:next])
	c.Host, c.Port, c.TLSConfig, c.Fallbacks = all[0].Host, all[0].Port, all[0].TLSConfig, all[1:]
}

// newPool makes the pool of the connections that read, which are made when they are used.
func (e *Engine) newPool() (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(e.opt.URL)
	if err != nil {
		return nil, err
	}
	e.complete(&c.ConnConfig.Config)
	c.MaxConns, c.MinConns, c.MinIdleConns = maxReaders, 0, 0
	c.MaxConnIdleTime = time.Minute
	c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	return pgxpool.NewWithConfig(context.Background(), c)
}

// settings are those of every connection. A server that does not wait for its disk is told to; one that waits for more
// is left so. A statement that waits for somebody else's lock fails before its Store is given up. What unnest makes of
// a batch stays in memory. A client that is gone without a word loses its locks within half a minute.
const settings = `SELECT set_config('lock_timeout', '4s', false), set_config('work_mem', '32MB', false),
	set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),
	set_config('tcp_keepalives_count', '3', false),
	set_config('synchronous_commit', CASE WHEN current_setting('synchronous_commit') = ANY ('%s'::text[])
		THEN 'on' ELSE current_setting('synchronous_commit') END, false)`

// tooLittle are the values of synchronous_commit that are less than the durability asks for.
func (d Durability) tooLittle() string {
	if d == Replica {
		return "{off,local,remote_write}"
	}
	return "{off}"
}

// greet makes a new connection ready: its settings, and the tables. It does not wait for ever: a change of the tables
// waits for a standby as all else does.
func (e *Engine) greet(ctx context.Context, c *pgconn.PgConn) error {
	ctx, cancel := context.WithTimeout(ctx, greetPatience)
	defer cancel()
	if _, err := c.Exec(ctx, fmt.Sprintf(settings, e.opt.Durability.tooLittle())).ReadAll(); err != nil {
		return err
	}
	return e.prepareSchema(ctx, c)
}

// ask returns the first row of what the statements answer last, as text; nil if there is none. A NULL is "".
func ask(ctx context.Context, c *pgconn.PgConn, statements string) ([]string, error) {
	results, err := c.Exec(ctx, statements).ReadAll()
	if err != nil || len(results) == 0 {
		return nil, err
	}
	last := results[len(results)-1]
	if len(last.Rows) == 0 {
		return nil, last.Err
	}
	row := make([]string, len(last.Rows[0]))
	for i, value := range last.Rows[0] {
		row[i] = string(value)
	}
	return row, last.Err
}
