package redisstore

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/command"
)

//go:embed scripts/*.lua
var sources embed.FS

// The transitions. What each is given and answers is said in its file.
var (
	scriptSubmit     = script("submit")
	scriptList       = script("list")
	scriptTake       = script("take")
	scriptRoute      = script("route")
	scriptReject     = script("reject")
	scriptCancel     = script("cancel")
	scriptBegin      = script("begin")
	scriptWithdraw   = script("withdraw")
	scriptReturn     = script("return")
	scriptSettle     = script("settle")
	scriptFinish     = script("finish")
	scriptSweep      = script("sweep")
	scriptSessions   = script("sessions")
	scriptBeat       = script("beat")
	scriptDeregister = script("deregister")
	scriptEvict      = script("evict")
	scriptRetire     = script("retire")
)

func script(name string) *redis.Script {
	return redis.NewScript(reasons + source("prelude") + source(name))
}

// reasons are those that the scripts give, and the bound that they know. Lua reads the same quotes as Go.
var reasons = fmt.Sprintf(
	"local NO_ANSWER, NOT_CONNECTED, NO_LEASE, TAKEN_BACK, DELIVERY_UNKNOWN = %q, %q, %q, %q, %q\n"+
		"local MAX_OPEN_OF_DEVICE, QUEUE_FULL, STORE_FULL = %d, %q, %q\n"+
		"local REASONS = { [QUEUE_FULL] = %q, [STORE_FULL] = %q }\n",
	command.ReasonNoAnswer, command.ReasonNotConnected, command.ReasonNoLease,
	command.ReasonTakenBack, command.ReasonDeliveryUnknown,
	command.MaxOpenOfDevice, command.RefusedQueue, command.RefusedStore,
	command.ReasonTooMany, command.ReasonTooManyInAll)

func source(name string) string {
	b, err := sources.ReadFile("scripts/" + name + ".lua")
	if err != nil {
		panic(err) // it is embedded
	}
	return string(b)
}

// eval runs a script in the name of this run. Its answer is nil if that is what the script says.
func (s *Store) eval(ctx context.Context, script *redis.Script, args ...any) (any, error) {
	answer, err := script.Run(ctx, s.client, nil, append([]any{s.opt.Instance, s.runID}, args...)...).Result()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return answer, err
}

// list is the answer as a list, which is empty for nil. The scripts answer with nothing else where it is used.
func list(answer any) []any {
	all, _ := answer.([]any)
	return all
}

func number(answer any) int64 {
	n, _ := answer.(int64)
	return n
}
