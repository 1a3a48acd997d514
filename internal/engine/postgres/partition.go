package postgres

import (
	"fmt"
	"time"
)

// partitions makes those of records from the first time, which is rounded down, up to the last one, and not more than
// so many. Each is of one width, but where others are already: then it is what is left between them. What the default
// partition has of a new one's time goes there. All times are ms since 1970 UTC.
const partitions = `
CREATE INDEX IF NOT EXISTS records_other_by_ts ON records_other (ts);
CREATE OR REPLACE FUNCTION ingestion_partitions(first bigint, last bigint, width bigint, most int) RETURNS int
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
	at bigint := first - first % width;
	until bigint;
	name text;
	made int := 0;
BEGIN
	WHILE at <= last AND made < most LOOP
		SELECT max(b.high) INTO until FROM ingestion_bounds AS b WHERE b.low <= at AND b.high > at;
		IF until IS NULL THEN
			until := least(at - at % width + width, (SELECT min(b.low) FROM ingestion_bounds AS b WHERE b.low > at));
			name := 'records_' || to_char(to_timestamp(at / 1000) AT TIME ZONE 'UTC',
				CASE WHEN width < 86400000 OR at % 86400000 <> 0 THEN 'YYYYMMDD"_"HH24' ELSE 'YYYYMMDD' END);
			IF to_regclass(name) IS NULL THEN
				LOCK TABLE records_other IN ACCESS EXCLUSIVE MODE;
				EXECUTE format('CREATE TABLE %I (LIKE records INCLUDING DEFAULTS)', name);
				EXECUTE format('WITH moved AS (DELETE FROM records_other WHERE ts >= %s AND ts < %s RETURNING *)
					INSERT INTO %I SELECT * FROM moved', at, until, name);
				EXECUTE format('ALTER TABLE records ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', name, at, until);
				made := made + 1;
			END IF;
		END IF;
		at := until;
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
	// back, because devices bring what they have kept; neither for more than maxPartitions.
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
	}
	return day
}

// makePartitions is the statement that makes those that are missing, but not more than so many, and tells how many it
// has made. A process that does not know the retention makes none.
func (e *Engine) makePartitions(most int) string {
	kept := e.opt.Retention
	if kept == Elsewhere {
		return "SELECT 0;"
	}
	width := partitionWidth(kept)
	behind, ahead := min(partitionsBehind, maxPartitions*width), min(partitionsAhead, maxPartitions*width)
	if kept > 0 {
		behind = min(behind, kept)
	}
	return fmt.Sprintf(`SELECT ingestion_partitions(now - %d, now + %d, %d, %d)
	FROM (SELECT (extract(epoch FROM now()) * 1000)::bigint AS now) AS t;`,
		behind.Milliseconds(), ahead.Milliseconds(), width.Milliseconds(), most)
}
