package postgres

// The statements of Store, which are prepared on each lane's connection. Each takes an array for each column, and
// answers which of its rows it has stored: NULL if all of them, else their keys with commas between.
const (
	// storeRecords unnests each array by itself, in step: that streams, where one unnest of all would first be kept as a
	// whole. A document's text made jsonb here costs a tenth less than an array of jsonb.
	storeRecords = `WITH stored AS (
	INSERT INTO records (id, device_id, ts, hash, codec, payload)
	SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::text[]),
		unnest($6::text[])::jsonb
	ON CONFLICT DO NOTHING RETURNING id)
SELECT count(*)::text, CASE WHEN count(*) < cardinality($1::text[]) THEN string_agg(id, ',') END FROM stored`

	// storeDeadLetters notes of each device whether it is known by a record that is kept.
	storeDeadLetters = `WITH stored AS (
	INSERT INTO dead_letters (item, ts, device_id, reason, codec, frame, transport, known)
	SELECT d.*, EXISTS (SELECT 1 FROM records AS r WHERE r.device_id = d.device_id)
	FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
		AS d (item, ts, device_id, reason, codec, frame, transport)
	ON CONFLICT (item) DO NOTHING RETURNING item)
SELECT count(*)::text, CASE WHEN count(*) < cardinality($1::text[]) THEN string_agg(item, ',') END FROM stored`

	storeMessages = `WITH stored AS (
	INSERT INTO messages (item, ts, device_id, codec, type, sent, payload)
	SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::text[])
	ON CONFLICT (item) DO NOTHING RETURNING item)
SELECT count(*)::text, CASE WHEN count(*) < cardinality($1::text[]) THEN string_agg(item, ',') END FROM stored`

	// roomForDeadLetters removes $2 dead letters at the most where all take more than $1 bytes, until they take a
	// twentieth less: first the oldest of devices that had no record here, so that strangers remove no known device's. It
	// reads no more than it may remove, by an index, whatever the table has. Rows that another transaction removes are
	// passed over.
	roomForDeadLetters = `DELETE FROM dead_letters WHERE seq = ANY (ARRAY(SELECT seq FROM (
	SELECT seq, sum(bytes) OVER (ORDER BY known, seq) - bytes AS before FROM (
		SELECT known, seq, bytes FROM dead_letters
		WHERE (SELECT sum(bytes) FROM ingestion_totals WHERE kind = 'dead_letters') > $1::bigint
		ORDER BY known, seq LIMIT $2::bigint FOR UPDATE SKIP LOCKED) AS d) AS d
	WHERE before < (SELECT sum(bytes) FROM ingestion_totals WHERE kind = 'dead_letters') - $1::bigint * 19 / 20))`

	// roomForMessages removes the oldest in the same way.
	roomForMessages = `DELETE FROM messages WHERE seq = ANY (ARRAY(SELECT seq FROM (
	SELECT seq, sum(bytes) OVER (ORDER BY seq) - bytes AS before FROM (
		SELECT seq, bytes FROM messages
		WHERE (SELECT sum(bytes) FROM ingestion_totals WHERE kind = 'messages') > $1::bigint
		ORDER BY seq LIMIT $2::bigint FOR UPDATE SKIP LOCKED) AS m) AS m
	WHERE before < (SELECT sum(bytes) FROM ingestion_totals WHERE kind = 'messages') - $1::bigint * 19 / 20))`

	// countRemovals is how often dead letters and messages were removed, by whomever.
	countRemovals = `SELECT sum(removals) FILTER (WHERE kind = 'dead_letters')::text,
	sum(removals) FILTER (WHERE kind = 'messages')::text FROM ingestion_totals`

	// showDurability is how much the commit waits for.
	showDurability = `SELECT current_setting('synchronous_commit'), current_setting('synchronous_standby_names')`
)

// prepared are the names of the statements on a connection.
var prepared = []struct{ name, sql string }{
	{"store_records", storeRecords},
	{"store_dead_letters", storeDeadLetters},
	{"store_messages", storeMessages},
	{"count_removals", countRemovals},
	{"show_durability", showDurability},
}

// binaryFormat are the formats of a statement's parameters: one for all.
var binaryFormat = []int16{1}
