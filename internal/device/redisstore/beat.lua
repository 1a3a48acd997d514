-- Says that a process lives.
-- KEYS: the processes. ARGV: its name, for how long it is remembered (ms), and how many are.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local above = redis.call('ZCARD', KEYS[1]) - ARGV[3]
if above > 0 then
	redis.call('ZREM', KEYS[1], unpack(redis.call('ZRANGE', KEYS[1], 0, math.min(above, 1000) - 1)))
end
return 0
