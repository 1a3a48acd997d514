-- Keeps devices, and bounds how many are kept.
-- KEYS: the index. ARGV: how long a device is kept (ms), how many devices, how many are removed at once; then of each
-- device its IMEI, evidence, model, firmware and how often its model was asked for.
local index, keep, most, page = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
for i = 4, #ARGV, 5 do
	local key = 'device:' .. ARGV[i]
	local type = redis.call('TYPE', key).ok
	if type == 'hash' or type == 'none' then -- not a key that is somebody else's
		redis.call('HSET', key, 'evidence', ARGV[i + 1], 'model_asked', ARGV[i + 4])
		if ARGV[i + 2] ~= '' then -- or what it has just said to another instance would be lost
			redis.call('HSET', key, 'model', ARGV[i + 2], 'firmware', ARGV[i + 3])
		end
		redis.call('PEXPIRE', key, keep)
		redis.call('ZADD', index, now, ARGV[i])
	end
end
redis.call('PEXPIRE', index, keep)
-- Those that were saved so long ago have expired by themselves, unless the clock was wrong.
local old = redis.call('ZRANGEBYSCORE', index, '-inf', now - keep, 'LIMIT', 0, page)
for _, imei in ipairs(old) do
	if redis.call('EXISTS', 'device:' .. imei) == 0 then
		redis.call('ZREM', index, imei)
	end
end
local above = math.min(page, redis.call('ZCARD', index) - most)
if above > 0 then
	for _, imei in ipairs(redis.call('ZRANGE', index, 0, above - 1)) do
		redis.call('DEL', 'device:' .. imei)
		redis.call('ZREM', index, imei)
	end
end
return 0
