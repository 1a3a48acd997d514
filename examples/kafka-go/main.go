// Command kafka-go is a consumer of the topic of records: each device's in their order, each stored once by its id.
package main

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	_ "modernc.org/sqlite"
)

func main() {
	db, err := open(cmp.Or(os.Getenv("DATABASE"), "records.db"))
	if err != nil {
		log.Fatal(err)
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(cmp.Or(os.Getenv("KAFKA_BROKERS"), "127.0.0.1:9092"), ",")...),
		kgo.ConsumerGroup("example-go"),
		kgo.ConsumeTopics("telemetry.teltonika"),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), // of a group that has read nothing yet
		kgo.SessionTimeout(6*time.Second),                 // so long after a reader's death others get its partitions
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // no partition goes to another reader between PollRecords and AllowRebalance
	)
	if err != nil {
		log.Fatal(err)
	}
	for ctx := context.Background(); ; {
		fetched := client.PollRecords(ctx, 500)
		fetched.EachError(func(topic string, partition int32, err error) { log.Print(topic, partition, err) })
		if err := store(ctx, db, fetched.Records()); err != nil {
			log.Fatal(err) // what was not committed is read again after the next start
		}
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			log.Print(err) // another reader gets these records again, and knows them by their ids
		}
		client.AllowRebalance()
	}
}

func open(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	_, err = db.Exec(`CREATE TABLE IF NOT EXISTS records
		(seq INTEGER PRIMARY KEY, id TEXT UNIQUE, device_id TEXT, payload TEXT)`)
	return db, err
}

// store does the work, which here is a row for each record: in one transaction, before the offsets are committed.
func store(ctx context.Context, db *sql.DB, records []*kgo.Record) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var fresh []string
	for _, r := range records {
		result, err := tx.ExecContext(ctx, `INSERT INTO records (id, device_id, payload)
			VALUES (json_extract(?2, '$.id'), ?1, ?2) ON CONFLICT (id) DO NOTHING`, string(r.Key), string(r.Value))
		if err != nil {
			return err
		}
		if n, _ := result.RowsAffected(); n > 0 {
			fresh = append(fresh, string(r.Value))
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	for _, payload := range fresh {
		fmt.Println(payload)
	}
	return nil
}
