-- evict removes devices from the registry that a run of the instance left there which does not live any more. Answers how many. ARGV: the
-- instance, the IMEIs.
local instance = ARGV[3]
local beat, count = redis.call('GET', heartbeat(instance)), 0
if instance == SELF and beat ~= RUN then return 0 end
for i = 4, #ARGV do
  local imei = ARGV[i]
  local token = redis.call('HGET', SESSIONS, imei)
  local lives = beat and (not token or string.sub(token, -#beat) == beat)
  if not lives and redis.call('HGET', REGISTRY, imei) == instance then
    redis.call('HDEL', REGISTRY, imei)
    redis.call('HDEL', SESSIONS, imei)
    count = count + 1
  end
end
return count
