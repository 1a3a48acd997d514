package sqlite

// What a client of the file may ask for beside the columns that are stored. Neither takes any room, and both hold for
// records that were stored before there was such a thing.

// receivedAt is records.received_at: when the record came, in ms since 1970 UTC, as the payload says it. It is taken
// from the text, which is three times as fast as to parse JSON: no value before it in a payload can hold a quote. It is
// NULL where another program has written something else. SQLite clients before 3.31 know no such columns.
const receivedAt = `INTEGER GENERATED ALWAYS AS (CAST(round((julianday(substr(payload,
	instr(payload, '"received_at":"') + 15, 24)) - 2440587.5) * 86400000) AS INTEGER)) VIRTUAL`

// signalsView has a row for each signal of each record: what it measures in num, true and false as 1 and 0, or what it
// says in txt. One of the two is NULL. A list of words is a JSON array in txt, and so is a number beyond 2^53, which no
// REAL holds, a text of digits there.
const signalsView = `
CREATE VIEW IF NOT EXISTS signals AS
SELECT r.device_id, r.ts, s.key AS name,
	CASE s.type WHEN 'true' THEN 1 WHEN 'false' THEN 0 WHEN 'integer' THEN s.value WHEN 'real' THEN s.value END AS num,
	CASE s.type WHEN 'text' THEN s.value WHEN 'array' THEN s.value END AS txt
FROM records AS r, json_each(CASE WHEN json_valid(r.payload) THEN r.payload END, '$.signals') AS s;`
