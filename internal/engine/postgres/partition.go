package postgres

import (
	"fmt"
	"time"
)

// partitions makes the partitions of records from the first time, which is rounded down, up to the last one, each that
// wide, but where others are already. What the default partition has of a new one's time goes there. All times are ms
// since 1970 UTC.
const partitions = `
CREATE OR REPLACE FUNCTION ingestion_partitions(first bigint, last bigint, width bigint) RETURNS int
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	at bigint := first - first % width;
	name text;
	made int := 0;
BEGIN
	WHILE at <= last LOOP
		name := 'records_' || to_char(to_timestamp(at / 1000) AT TIME ZONE 'UTC',
			CASE WHEN width < 86400000 THEN 'YYYYMMDD"_"HH24' ELSE 'YYYYMMDD' END);
		IF to_regclass(name) IS NULL AND NOT EXISTS (SELECT 1 FROM ingestion_bounds AS b
			WHERE b.low < at + width AND b.high > at) THEN
			LOCK TABLE records_other IN ACCESS EXCLUSIVE MODE;
			EXECUTE format('CREATE TABLE %I (LIKE records INCLUDING DEFAULTS)', name);
			EXECUTE format('WITH moved AS (DELETE FROM records_other WHERE ts >= %s AND ts < %s RETURNING *)
				INSERT INTO %I SELECT * FROM moved', at, at + width, name);
			EXECUTE format('ALTER TABLE records ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name, at, at + width);
			made := made + 1;
		END IF;
		at := at + width;
	END LOOP;
	RETURN made;
END $$;`

// bounds are the partitions, but for the default one.
const bounds = `
CREATE OR REPLACE VIEW ingestion_bounds AS
SELECT p.relid::regclass::text AS name,
	substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''(-?\d+)''\)')::bigint AS low,
	substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''(-?\d+)''\)')::bigint AS high
FROM pg_partition_tree('records') AS p JOIN pg_class AS c ON c.oid = p.relid
WHERE p.level = 1 AND pg_get_expr(c.relpartbound, c.oid) <> 'DEFAULT';`

const (
	day = 24 * time.Hour

	// partitionsAhead is for how long there are partitions before they are needed, and partitionsBehind for how long
	// before the first start, because devices bring what they have kept; neither for more than maxPartitions.
	partitionsAhead  = 3 * day
	partitionsBehind = 7 * day
	maxPartitions    = 30
)

// partitionWidth is the time that one partition is for. They are some dozens for the whole retention.
func partitionWidth(retention time.Duration) time.Duration {
	switch {
	case retention > 0 && retention <= 2*day:
		return time.Hour
	case retention == 0 || retention > 400*day:
		return 30 * day
	case retention > 60*day:
		return 7 * day
	} // for Elsewhere too
	return day
}

// makePartitions is the statement that makes those that are missing, from so long ago on.
func (e *Engine) makePartitions(ago time.Duration) string {
	width := partitionWidth(e.opt.Retention)
	ago, ahead := min(ago, maxPartitions*width), min(partitionsAhead, maxPartitions*width)
	return fmt.Sprintf(`SELECT ingestion_partitions(now - %d, now + %d, %d)
	FROM (SELECT (extract(epoch FROM now()) * 1000)::bigint AS now) AS t;`,
		ago.Milliseconds(), ahead.Milliseconds(), width.Milliseconds())
}
