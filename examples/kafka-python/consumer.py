"""A consumer of the topic of records: each device's in their order, each stored once by its id."""

import json
import os
import sqlite3
import sys

from confluent_kafka import Consumer, KafkaException


def main():
    db = sqlite3.connect(os.environ.get("DATABASE", "records.db"), timeout=10)
    db.execute(
        "CREATE TABLE IF NOT EXISTS records (seq INTEGER PRIMARY KEY, id TEXT UNIQUE, device_id TEXT, payload TEXT)"
    )
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ.get("KAFKA_BROKERS", "127.0.0.1:9092"),
            "group.id": "example-python",
            "auto.offset.reset": "earliest",  # of a group that has read nothing yet
            "session.timeout.ms": 6000,  # so long after a reader's death others get its partitions
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe(["telemetry.teltonika"])
    while True:
        messages = consumer.consume(num_messages=500, timeout=1)
        for message in messages:
            if message.error():
                print(message.error(), file=sys.stderr)
        # What fails here ends the process: what was not committed is read again after the next start.
        store(db, [message for message in messages if not message.error()])
        if messages:
            commit(consumer)


def store(db, messages):
    """Does the work, which here is a row for each record: in one transaction, before the offsets are committed."""
    fresh = []
    with db:
        for message in messages:
            payload = message.value().decode()
            row = db.execute(
                "INSERT INTO records (id, device_id, payload) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING",
                (json.loads(payload)["id"], message.key().decode(), payload),
            )
            if row.rowcount > 0:
                fresh.append(payload)
    for payload in fresh:
        print(payload, flush=True)


def commit(consumer):
    try:
        consumer.commit(asynchronous=False)
    except KafkaException as error:
        # Another reader gets these records again, and knows them by their ids.
        print(error, file=sys.stderr)


main()
