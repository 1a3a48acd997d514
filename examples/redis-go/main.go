// Command redis-go is a consumer of the stream of records: each device's in their order, each handled once by its id.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	stream, group = "telemetry:teltonika", "example"
	consumer      = "reader" // of the group: one process at a time is it
	leaseKey      = group + ":lease"
	lease         = 3 * time.Second // so long after a reader's last sign of life another one takes its place
)

func main() {
	options, err := redis.ParseURL(cmp.Or(os.Getenv("REDIS_URL"), "redis://127.0.0.1:6379"))
	if err != nil {
		log.Fatal(err)
	}
	options.MaxRetries = -1 // XREADGROUP sent again gives later entries: after an error, read begins anew
	for db := redis.NewClient(options); ; time.Sleep(time.Second) {
		log.Print(read(context.Background(), db))
	}
}

// read waits until no other process of the group reads, and then handles entries until something fails. One reads at a
// time: of two, the slower one would handle a device's earlier records after its later ones.
func read(ctx context.Context, db *redis.Client) error {
	err := db.XGroupCreateMkStream(ctx, stream, group, "0").Err()
	if err != nil && !redis.HasErrorPrefix(err, "BUSYGROUP") {
		return err
	}
	token := rand.Text()
	for taken := false; !taken; time.Sleep(lease / 20) {
		if taken, err = db.SetNX(ctx, leaseKey, token, lease).Result(); err != nil {
			return err
		}
	}
	claim := &redis.XAutoClaimArgs{Stream: stream, Group: group, Consumer: consumer, Start: "0", Count: 100}
	next := &redis.XReadGroupArgs{
		Streams: []string{stream, ">"}, Group: group, Consumer: consumer, Count: 100, Block: lease / 5}
	for {
		// What somebody was given and nobody has acknowledged comes first, in its order. It may be a dead reader's.
		entries, _, err := db.XAutoClaim(ctx, claim).Result()
		if err != nil {
			return err
		}
		if err := handle(ctx, db, token, entries); err != nil {
			return err
		}
		if len(entries) > 0 {
			continue
		}
		// There is none, so be given new entries. The next claim has them, behind what another reader got meanwhile.
		if err := db.XReadGroup(ctx, next).Err(); err != nil && err != redis.Nil {
			return err
		}
	}
}

// handle does the work for entries and acknowledges them, all in one step, which fails if others have the lease. The
// work here is a hash for each device and day. In another database it is a transaction with a unique id, before XACK.
func handle(ctx context.Context, db *redis.Client, token string, entries []redis.XMessage) error {
	return db.Watch(ctx, func(tx *redis.Tx) error {
		if holder := tx.Get(ctx, leaseKey); holder.Val() != token {
			return fmt.Errorf("the lease is lost: %v", holder)
		}
		isNew := make([]*redis.BoolCmd, len(entries))
		_, err := tx.TxPipelined(ctx, func(step redis.Pipeliner) error {
			for i, e := range entries {
				var r struct{ ID, Timestamp string }
				if err := json.Unmarshal([]byte(e.Values["payload"].(string)), &r); err != nil {
					return err
				}
				day := fmt.Sprintf("%s:%s:%.10s", group, e.Values["device_id"], r.Timestamp)
				isNew[i] = step.HSetNX(ctx, day, r.ID, e.Values["payload"])
				step.Expire(ctx, day, 7*24*time.Hour)
				step.XAck(ctx, stream, group, e.ID)
			}
			return step.PExpire(ctx, leaseKey, lease).Err()
		})
		for i, e := range entries {
			if err == nil && isNew[i].Val() {
				fmt.Println(e.Values["payload"])
			}
		}
		return err
	}, leaseKey)
}
