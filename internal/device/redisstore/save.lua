-- Keeps devices, and bounds how many are kept.
-- KEYS: the index by when they were saved, that of those connected and that of those gone. ARGV: how long a device is
-- kept (ms), how long one that is not proven, how many devices, how many are removed at once; then of each device its
-- IMEI, evidence, model, firmware, how often its model was asked for, presence, its state, the process that it was
-- connected to, since when (ms), and 1 if it is proven.
local index, connected, gone = KEYS[1], KEYS[2], KEYS[3]
local keep, unproven, most, page = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

-- is at another process, by what is kept, and was not here later
local function elsewhere(key, run, since)
	local kept = redis.call('HMGET', key, 'state', 'run', 'since')
	return kept[1] == 'connected' and kept[2] ~= run and tonumber(since) <= tonumber(kept[3] or 0)
end

local function forget(imei)
	redis.call('ZREM', index, imei)
	redis.call('ZREM', connected, imei)
	redis.call('ZREM', gone, imei)
end

for i = 5, #ARGV, 10 do
	local imei, presence, state, run, since = ARGV[i], ARGV[i + 5], ARGV[i + 6], ARGV[i + 7], ARGV[i + 8]
	local key = 'device:' .. imei
	local type = redis.call('TYPE', key).ok
	if type == 'hash' or type == 'none' then -- not a key that is somebody else's
		redis.call('HSET', key, 'evidence', ARGV[i + 1], 'model_asked', ARGV[i + 4])
		if ARGV[i + 2] ~= '' then -- or what it has just said to another instance would be lost
			redis.call('HSET', key, 'model', ARGV[i + 2], 'firmware', ARGV[i + 3])
		end
		if state == 'connected' or state == 'gone' and not elsewhere(key, run, since) then
			redis.call('HSET', key, 'presence', presence, 'state', state, 'run', run, 'since', since)
			redis.call('ZREM', state == 'gone' and connected or gone, imei)
			redis.call('ZADD', state == 'gone' and gone or connected, 0, imei)
		end
		local lasts = ARGV[i + 9] == '1' and keep or unproven
		redis.call('PEXPIRE', key, lasts)
		redis.call('ZADD', index, now - keep + lasts, imei) -- one that lasts shorter goes as if it were that much older
	end
end
for _, key in ipairs(KEYS) do
	redis.call('PEXPIRE', key, keep)
end
-- Those that were saved so long ago have expired by themselves, unless the clock was wrong.
local old = redis.call('ZRANGEBYSCORE', index, '-inf', now - keep, 'LIMIT', 0, page)
for _, imei in ipairs(old) do
	if redis.call('EXISTS', 'device:' .. imei) == 0 then
		forget(imei)
	end
end
local above = math.min(page, redis.call('ZCARD', index) - most)
if above > 0 then
	for _, imei in ipairs(redis.call('ZRANGE', index, 0, above - 1)) do
		redis.call('DEL', 'device:' .. imei)
		forget(imei)
	end
end
return 0
