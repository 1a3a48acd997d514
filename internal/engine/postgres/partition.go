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
		name := 'records_' || to_char(to_timestamp(at / 1000) AT TIME ZONE 'UTC', 'YYYYMMDD');
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
	// before the first start: devices bring what they have kept.
	partitionsAhead  = 3 * day
	partitionsBehind = 7 * day
)

// partitionWidth is the time that one partition is for. They are some dozens for the whole retention.
func partitionWidth(retention time.Duration) time.Duration {
	switch {
	case retention == 0 || retention > 400*day:
		return 30 * day
	case retention > 60*day:
		return 7 * day
	} // for Elsewhere too
	return day
}

// makePartitions is the statement that makes those that are missing, from so long ago on.
func (e *Engine) makePartitions(ago time.Duration) string {
	return fmt.Sprintf(`SELECT ingestion_partitions(now - %d, now + %d, %d)
	FROM (SELECT (extract(epoch FROM now()) * 1000)::bigint AS now) AS t;`,
		ago.Milliseconds(), partitionsAhead.Milliseconds(), partitionWidth(e.opt.Retention).Milliseconds())
}
