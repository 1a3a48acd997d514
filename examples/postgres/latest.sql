-- The latest position of each device that has reported since a day, UTC, of records whose clock can be believed.
\set since 2026-11-01
SELECT DISTINCT ON (device_id) device_id,
	to_char(to_timestamp(ts / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS time,
	payload -> 'latitude' AS latitude, payload -> 'longitude' AS longitude, payload ->> 'fix' AS fix
FROM records
WHERE ts >= 1000 * extract(epoch FROM date :'since')::bigint AND NOT payload ? 'clock'
ORDER BY device_id, ts DESC;
