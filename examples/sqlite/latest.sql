-- The latest position of each device, of records whose clock can be believed.
.headers on
.mode csv
SELECT d.device_id, datetime(r.ts / 1000, 'unixepoch') AS time, json_extract(r.payload, '$.latitude') AS latitude,
	json_extract(r.payload, '$.longitude') AS longitude, json_extract(r.payload, '$.fix') AS fix
FROM (SELECT DISTINCT device_id FROM records) AS d
JOIN records AS r ON r.seq = (
	SELECT seq FROM records WHERE device_id = d.device_id AND json_extract(payload, '$.clock') IS NULL
	ORDER BY ts DESC LIMIT 1);
