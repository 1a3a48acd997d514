-- retire forgets an instance that has been dead for long, or seems so because it has ended in order, and has left nothing. ARGV: the instance, for how many ms.
local instance = ARGV[3]
local last = redis.call('ZSCORE', INSTANCES, instance)
if not last or now - last < tonumber(ARGV[4]) or redis.call('EXISTS', heartbeat(instance)) == 1 then return 0 end
if redis.call('XLEN', outbound(instance)) > 0 then return 0 end
local pending = redis.pcall('XPENDING', INBOX, GROUP, '-', '+', 1, instance)
if not pending.err then
  if #pending > 0 then return 0 end
  redis.call('XGROUP', 'DELCONSUMER', INBOX, GROUP, instance)
end
redis.call('DEL', outbound(instance))
redis.call('ZREM', INSTANCES, instance)
return 1
