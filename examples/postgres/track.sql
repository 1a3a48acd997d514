-- The track of a device on a day, UTC, without repeated places.
\set device 350000000000000
\set day 2026-11-30
SELECT to_char(to_timestamp(ts / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS time,
	payload -> 'latitude' AS latitude, payload -> 'longitude' AS longitude, payload -> 'speed' AS kmh
FROM records
WHERE device_id = :'device' AND payload ->> 'fix' = 'ok'
	AND ts >= 1000 * extract(epoch FROM date :'day')::bigint
	AND ts < 1000 * extract(epoch FROM date :'day' + 1)::bigint
ORDER BY ts;
