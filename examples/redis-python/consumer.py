"""A consumer of the stream of records: each device's in their order, each handled once by its id."""

import json
import os
import secrets
import sys
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

STREAM = "telemetry:teltonika"
GROUP = "example"
CONSUMER = "reader"  # of the group: one process at a time is it
LEASE = GROUP + ":lease"
LEASE_MS = 3000  # so long after a reader's last sign of life another one takes its place


def read(db):
    """Waits until no other process of the group reads, and then handles entries until something fails.

    One reads at a time: of two, the slower one would handle a device's earlier records after its later ones.
    """
    try:
        db.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    except redis.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):
            raise
    token = secrets.token_hex()
    while not db.set(LEASE, token, nx=True, px=LEASE_MS):
        time.sleep(LEASE_MS / 20_000)
    while True:
        # What somebody was given and nobody has acknowledged comes first, in its order. It may be a dead reader's.
        _, entries, *_ = db.xautoclaim(STREAM, GROUP, CONSUMER, min_idle_time=0, start_id="0", count=100)
        handle(db, token, entries)
        if not entries:
            # So be given new entries. The next claim has them, behind what another reader got meanwhile.
            db.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, count=100, block=LEASE_MS // 5)


def handle(db, token, entries):
    """Does the work for entries and acknowledges them, all in one step, which fails if others have the lease.

    The work here is a hash for each device and day. In another database it is a transaction with a unique id, and
    XACK behind it.
    """
    with db.pipeline() as step:
        step.watch(LEASE)
        if step.get(LEASE) != token:
            raise RuntimeError("the lease is lost")
        step.multi()
        step.pexpire(LEASE, LEASE_MS)
        for entry, fields in entries:
            record = json.loads(fields["payload"])
            day = f"{GROUP}:{fields['device_id']}:{record['timestamp'][:10]}"
            step.hsetnx(day, record["id"], fields["payload"])
            step.expire(day, 7 * 24 * 3600)
            step.xack(STREAM, GROUP, entry)
        is_new = step.execute()[1::3]
    for (_, fields), new in zip(entries, is_new):
        if new:
            print(fields["payload"], flush=True)


def main():
    url = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379")
    # XREADGROUP sent again gives later entries: so there are no retries, and after an error, read begins anew.
    db = redis.Redis.from_url(url, decode_responses=True, retry=Retry(NoBackoff(), 0), protocol=2)
    while True:
        try:
            read(db)
        except (redis.RedisError, RuntimeError) as error:
            print(error, file=sys.stderr)
            time.sleep(1)


main()
