package redisstream

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/engine"
)

// A node of a cluster answers MOVED when it has not got a key's slot, and CLUSTERDOWN while an election is on. While
// the slot is on its way it answers ASK for a stream that has left already, or TRYAGAIN. None of it says anything of
// the item, and nothing is stored: the lane waits until the nodes name the slot's master, and sends the batch again
// there, as one of which some may be stored.

// elsewhere says whether the answer is a matter of where the shard is, and not of the item.
func (r refusal) elsewhere() bool {
	switch r.code() {
	case "READONLY", "LOADING", "MASTERDOWN", "TRYAGAIN":
		return true
	}
	return r.ofCluster()
}

// redirect has found called whenever the server says that it has not got the shard.
func (t *term) redirect(found func()) {
	t.redirected = found
	t.client.AddHook(redirects{t})
}

// elsewhere is the failure of a batch or a question that the server has not got the shard for; nil if the answer
// says something else, or if there is only one server.
func (t *term) elsewhere(answer refusal) error {
	if t.redirected == nil || !answer.elsewhere() {
		return nil
	}
	t.redirected()
	remedy := ""
	if answer.code() == "ASK" {
		remedy = ": the slot is on its way to another node, and its stream is there already; " +
			"if nobody is moving it, end that with redis-cli --cluster fix"
	}
	return &engine.Error{Transient: true, Err: fmt.Errorf("redis at %s: %s%s", t.address, string(answer), remedy)}
}

// redirects makes such answers to what the client asks no refusals: then nobody takes them for an answer to the
// question.
type redirects struct{ t *term }

// DialHook changes nothing.
func (r redirects) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook looks at the answer to a command.
func (r redirects) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if moved := r.look(cmd); moved != nil {
			return moved
		}
		return err
	}
}

// ProcessPipelineHook looks at the answers to all commands.
func (r redirects) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			if moved := r.look(cmd); moved != nil {
				err = moved
			}
		}
		return err
	}
}

func (r redirects) look(cmd redis.Cmder) error {
	answer, ok := asRefusal(cmd.Err())
	if !ok {
		return nil
	}
	moved := r.t.elsewhere(answer)
	if moved != nil {
		cmd.SetErr(moved)
	}
	return moved
}
