-- beat says that this run of the instance lives. ARGV: ms for how long that is believed. Answers whose heartbeat was there.
local before = redis.call('GET', heartbeat(SELF))
redis.call('SET', heartbeat(SELF), RUN, 'PX', ARGV[3])
redis.call('ZADD', INSTANCES, now, SELF)
return before or ''
