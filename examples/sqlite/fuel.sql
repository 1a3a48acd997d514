-- The fuel level of a device on a day, UTC, hour by hour, whatever element it comes from on that device.
.parameter set :device 350000000000000
.parameter set :day "'2026-11-30'"
.headers on
.mode csv
SELECT strftime('%H:00', ts / 1000, 'unixepoch') AS hour, round(avg(num), 1) AS percent
FROM signals
WHERE device_id = :device AND name = 'can.fuel.level'
	AND ts >= 1000 * strftime('%s', :day) AND ts < 1000 * strftime('%s', :day, '+1 day')
GROUP BY hour;
