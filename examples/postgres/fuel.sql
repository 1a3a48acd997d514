-- The fuel level of a device on a day, UTC, hour by hour, whatever element it comes from on that device.
\set device 350000000000000
\set day 2026-11-30
SELECT to_char(time AT TIME ZONE 'UTC', 'HH24:00') AS hour, round(avg(num)::numeric, 1) AS percent
FROM signals
WHERE device_id = :'device' AND name = 'can.fuel.level'
	AND ts >= 1000 * extract(epoch FROM date :'day')::bigint
	AND ts < 1000 * extract(epoch FROM date :'day' + 1)::bigint
GROUP BY hour ORDER BY hour;
