-- The track of a device on a day, UTC, without repeated places.
.parameter set :device 350000000000000
.parameter set :day "'2026-11-30'"
.headers on
.mode csv
SELECT datetime(ts / 1000, 'unixepoch') AS time, json_extract(payload, '$.latitude') AS latitude,
	json_extract(payload, '$.longitude') AS longitude, json_extract(payload, '$.speed') AS kmh
FROM records
WHERE device_id = :device AND ts >= 1000 * strftime('%s', :day) AND ts < 1000 * strftime('%s', :day, '+1 day')
	AND json_extract(payload, '$.fix') = 'ok'
ORDER BY ts;
