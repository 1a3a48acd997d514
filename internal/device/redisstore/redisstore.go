// Package redisstore keeps devices in Redis, for any number of instances. The README beside it says which keys it uses
// and what other programs may read there.
package redisstore

import (
	"context"
	_ "embed"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/device"
	"git.dev.trmtracking.org/trm/tcp-ingestion/internal/source"
)

// indexKey is the sorted set of the devices that are kept, by when they were saved, in ms by Redis' clock.
const indexKey = "devices:kept"

func deviceKey(imei string) string { return "device:" + imei }

// The fields of a device's hash that this program reads and writes. Others may stand beside them.
const (
	fieldEvidence = "evidence" // base64
	fieldModel    = "model"
	fieldFirmware = "firmware"
	fieldAsked    = "model_asked"
	fieldPresence = "presence" // JSON
)

// The sorted sets beside it. Those of the states have all members at score 0, and are read by IMEI.
const (
	indexConnected = "devices:connected"
	indexGone      = "devices:gone"
	indexRuns      = "devices:instances" // processes, by when they beat last, in ms by Redis' clock
)

// maxRuns is how many processes are remembered.
const maxRuns = 1000

var (
	//go:embed save.lua
	saveScript string
	//go:embed beat.lua
	beatScript string
)

// cleanPage is how many devices one Save removes at most.
const cleanPage = 1000

// Store is a device.Store.
type Store struct {
	client *redis.Client
	save   *redis.Script
	beat   *redis.Script
	most   int // devices
}

var _ device.Store = (*Store)(nil)

// New returns a store in the Redis of source.DialRedis, which need not be reachable.
func New(url, clientName string) (*Store, error) {
	client, err := source.DialRedis(url, clientName)
	if err != nil {
		return nil, err
	}
	return &Store{
		client: client, save: redis.NewScript(saveScript), beat: redis.NewScript(beatScript), most: device.MaxKept,
	}, nil
}

// Load implements device.Store.
func (s *Store) Load(ctx context.Context, imeis []string) ([]device.Kept, error) {
	answers := make([]*redis.SliceCmd, len(imeis))
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, imei := range imeis {
			answers[i] = p.HMGet(ctx, deviceKey(imei), fieldEvidence, fieldModel, fieldFirmware, fieldAsked, fieldPresence)
		}
		return nil
	})
	var all []device.Kept
	for i, answer := range answers {
		if err := answer.Err(); err != nil && !isOthers(err) {
			return nil, err
		} else if err != nil {
			continue
		}
		if k, found := kept(imeis[i], answer.Val()); found {
			all = append(all, k)
		}
	}
	return all, nil
}

// isOthers reports whether the key is somebody else's, of another type.
func isOthers(err error) bool { return strings.HasPrefix(err.Error(), "WRONGTYPE") }

// kept reads the fields of a hash. What is no evidence, or no number, is taken for none: others may write there.
func kept(imei string, fields []any) (k device.Kept, found bool) {
	text := func(i int) string {
		s, ok := fields[i].(string)
		found = found || ok
		return s
	}
	k = device.Kept{IMEI: imei, Model: text(1), Firmware: text(2)}
	k.Evidence, _ = base64.StdEncoding.DecodeString(text(0))
	k.Asked, _ = strconv.Atoi(text(3))
	k.Presence = device.DecodePresence(text(4))
	return k, found
}

// Save implements device.Store. It also removes devices above device.MaxKept, and forgets those that Redis has let
// expire.
func (s *Store) Save(ctx context.Context, devices []device.Kept) error {
	args := make([]any, 0, 4+argsOfDevice*len(devices))
	args = append(args, device.MaxKeep.Milliseconds(), device.KeepUnproven.Milliseconds(), s.most, cleanPage)
	for i := range devices {
		of, err := saveArgs(&devices[i])
		if err != nil {
			return err
		}
		args = append(args, of[:]...)
	}
	return s.save.Run(ctx, s.client, []string{indexKey, indexConnected, indexGone}, args...).Err()
}

const argsOfDevice = 10

// saveArgs are a device's arguments of save.lua.
func saveArgs(k *device.Kept) (args [argsOfDevice]any, err error) {
	presence, err := device.EncodePresence(k.Presence)
	if err != nil {
		return args, err
	}
	proven, run, since := "", "", int64(0)
	if k.Proven() {
		proven = "1"
	}
	if p := k.Presence; p != nil {
		run = p.Run()
		if !p.WasTakenOver() { // the newer connection began later, whatever the clocks of two instances say
			since = p.ConnectedAt.UnixMilli()
		}
	}
	return [argsOfDevice]any{
		k.IMEI, base64.StdEncoding.EncodeToString(k.Evidence), k.Model, k.Firmware, k.Asked, presence, string(k.State()),
		run, since, proven,
	}, nil
}

// List implements device.Store.
func (s *Store) List(ctx context.Context, state device.State, after string, limit int) ([]device.Kept, error) {
	indexes := []string{indexConnected, indexGone}
	switch state {
	case device.StateConnected:
		indexes = indexes[:1]
	case device.StateGone:
		indexes = indexes[1:]
	}
	var imeis []string
	for _, index := range indexes {
		page, err := s.client.ZRangeArgs(ctx, redis.ZRangeArgs{
			Key: index, Start: "(" + after, Stop: "+", ByLex: true, Count: int64(limit),
		}).Result()
		if err != nil {
			return nil, err
		}
		imeis = append(imeis, page...)
	}
	slices.Sort(imeis)
	imeis = slices.Compact(imeis)
	imeis = imeis[:min(limit, len(imeis))]
	found, err := s.Load(ctx, imeis)
	if err != nil {
		return nil, err
	}
	all := make([]device.Kept, len(imeis))
	for i, imei := range imeis {
		all[i].IMEI = imei
		if len(found) > 0 && found[0].IMEI == imei { // they are in the same order, without those that have expired
			all[i], found = found[0], found[1:]
		}
	}
	return all, nil
}

// Beat implements device.Store.
func (s *Store) Beat(ctx context.Context, run string) error {
	return s.beat.Run(ctx, s.client, []string{indexRuns}, run, device.MaxKeep.Milliseconds(), maxRuns).Err()
}

// Heard implements device.Store.
func (s *Store) Heard(ctx context.Context) (map[string]time.Duration, error) {
	now, err := s.client.Time(ctx).Result()
	if err != nil {
		return nil, err
	}
	runs, err := s.client.ZRangeWithScores(ctx, indexRuns, 0, maxRuns-1).Result()
	heard := make(map[string]time.Duration, len(runs))
	for _, run := range runs {
		heard[run.Member.(string)] = now.Sub(time.UnixMilli(int64(run.Score)))
	}
	return heard, err
}

// Forget implements device.Store.
func (s *Store) Forget(ctx context.Context, runs []string) error {
	return s.client.ZRem(ctx, indexRuns, runs).Err()
}

// Shared implements device.Store.
func (s *Store) Shared() bool { return true }

// Close implements device.Store.
func (s *Store) Close() error { return s.client.Close() }
