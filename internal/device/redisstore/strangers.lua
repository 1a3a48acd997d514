-- Keeps strangers, and bounds how many are kept.
-- KEYS: the hash, the order. ARGV: how long they are kept (ms), how many, how many are to be forgotten, their ids; then
-- of each that is to be kept the id, when he knocked (ms), and what is known.
local strangers, order, keep, most = KEYS[1], KEYS[2], tonumber(ARGV[1]), tonumber(ARGV[2])
local first = 4 + tonumber(ARGV[3])
for i = 4, first - 1 do
	redis.call('HDEL', strangers, ARGV[i])
	redis.call('ZREM', order, ARGV[i])
end
for i = first, #ARGV, 3 do
	redis.call('HSET', strangers, ARGV[i], ARGV[i + 2])
	redis.call('ZADD', order, ARGV[i + 1], ARGV[i])
end
local above = redis.call('ZCARD', order) - most
if above > 0 then
	for _, id in ipairs(redis.call('ZRANGE', order, 0, above - 1)) do
		redis.call('HDEL', strangers, id)
		redis.call('ZREM', order, id)
	end
end
redis.call('PEXPIRE', strangers, keep)
redis.call('PEXPIRE', order, keep)
return 0
