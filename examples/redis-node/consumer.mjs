// A consumer of the stream of records: each device's in their order, each handled once by its id.

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "redis";

const stream = "telemetry:teltonika";
const group = "example";
const consumer = "reader"; // of the group: one process at a time is it
const leaseKey = `${group}:lease`;
const lease = 3000; // ms: so long after a reader's last sign of life another one takes its place

// Waits until no other process of the group reads, and then handles entries until something fails. One reads at a
// time: of two, the slower one would handle a device's earlier records after its later ones.
async function read(db) {
  try {
    await db.xGroupCreate(stream, group, "0", { MKSTREAM: true });
  } catch (error) {
    if (!error.message.startsWith("BUSYGROUP")) throw error;
  }
  const token = randomUUID();
  while (!(await db.set(leaseKey, token, { NX: true, PX: lease }))) {
    await sleep(lease / 20);
  }
  for (;;) {
    // What somebody was given and nobody has acknowledged comes first, in its order. It may be a dead reader's.
    const { messages } = await db.xAutoClaim(stream, group, consumer, 0, "0", { COUNT: 100 });
    await handle(db, token, messages);
    if (messages.length === 0) {
      // So be given new entries. The next claim has them, behind what another reader got meanwhile.
      await db.xReadGroup(group, consumer, { key: stream, id: ">" }, { COUNT: 100, BLOCK: lease / 5 });
    }
  }
}

// Does the work for entries and acknowledges them, all in one step, which fails if others have the lease. The work
// here is a hash for each device and day. In another database it is a transaction with a unique id, before XACK.
async function handle(db, token, entries) {
  await db.watch(leaseKey);
  if ((await db.get(leaseKey)) !== token) {
    throw new Error("the lease is lost");
  }
  const step = db.multi().pExpire(leaseKey, lease);
  for (const { id, message } of entries) {
    const record = JSON.parse(message.payload);
    const day = `${group}:${message.device_id}:${record.timestamp.slice(0, 10)}`;
    step.hSetNX(day, record.id, message.payload);
    step.expire(day, 7 * 24 * 3600);
    step.xAck(stream, group, id);
  }
  const answers = await step.exec();
  entries.forEach(({ message }, i) => {
    if (answers[1 + 3 * i]) console.log(message.payload);
  });
}

// XREADGROUP sent again gives later entries: so nothing waits for a new connection, and after an error all begins anew.
for (;;) {
  const db = createClient({
    url: process.env.REDIS_URL ?? "redis://127.0.0.1:6379",
    socket: { reconnectStrategy: false },
  });
  db.on("error", () => {}); // whoever waits for an answer gets it too
  try {
    await db.connect();
    await read(db);
  } catch (error) {
    console.error(error.message);
  }
  if (db.isOpen) db.destroy();
  await sleep(1000);
}
