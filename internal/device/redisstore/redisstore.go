// Package redisstore keeps devices in Redis, for any number of instances. The README beside it says which keys it uses
// and what other programs may read there.
package redisstore

import (
	"context"
	_ "embed"
	"encoding/base64"
	"strconv"
	"strings"

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
)

//go:embed save.lua
var saveScript string

// cleanPage is how many devices one Save removes at most.
const cleanPage = 1000

// Store is a device.Store.
type Store struct {
	client *redis.Client
	save   *redis.Script
	most   int // devices
}

var _ device.Store = (*Store)(nil)

// New returns a store in the Redis of source.DialRedis, which need not be reachable.
func New(url, clientName string) (*Store, error) {
	client, err := source.DialRedis(url, clientName)
	if err != nil {
		return nil, err
	}
	return &Store{client: client, save: redis.NewScript(saveScript), most: device.MaxKept}, nil
}

// Load implements device.Store.
func (s *Store) Load(ctx context.Context, imeis []string) ([]device.Kept, error) {
	answers := make([]*redis.SliceCmd, len(imeis))
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, imei := range imeis {
			answers[i] = p.HMGet(ctx, deviceKey(imei), fieldEvidence, fieldModel, fieldFirmware, fieldAsked)
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
	return k, found
}

// Save implements device.Store. It also removes devices above device.MaxKept, and forgets those that Redis has let
// expire.
func (s *Store) Save(ctx context.Context, devices []device.Kept) error {
	args := make([]any, 0, 3+5*len(devices))
	args = append(args, device.MaxKeep.Milliseconds(), s.most, cleanPage)
	for _, k := range devices {
		args = append(args, k.IMEI, base64.StdEncoding.EncodeToString(k.Evidence), k.Model, k.Firmware, k.Asked)
	}
	return s.save.Run(ctx, s.client, []string{indexKey}, args...).Err()
}

// Shared implements device.Store.
func (s *Store) Shared() bool { return true }

// Close implements device.Store.
func (s *Store) Close() error { return s.client.Close() }
