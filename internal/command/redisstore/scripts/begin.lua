-- begin asks for the device's lease. ARGV: id, the call's token, ms to send, ms of quarantine. Answers granted, ms to wait, the
-- command, and whether it has expired just now. A command whose device another instance holds is taken there.
local token, send, quarantine = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local c = read(ARGV[3])
if not c then return false end
local repeated = c.state == 'sent' and c.run == RUN and c.begun == token and now <= tonumber(c.deadline)
if final(c) or c.state == 'sent' and not repeated and not resendable(c) then return { 0, 0, answer(c) } end
if overdue(c) then
  local ended = c.state == 'queued' and 1 or 0
  if ended == 1 then expire(c) end
  return { 0, 0, answer(c), ended }
end
local there = holder(c.imei)
if there and there ~= SELF then
  if repeated then withdraw(c) end
  if c.at ~= outbound(there) then route(c) end
  return { 0, 0, answer(c) }
end
local whose = redis.call('GET', lease(c.imei))
if whose and whose ~= c.id then return { 0, math.max(1, redis.call('PTTL', lease(c.imei))), answer(c) } end

local deadline = now + send + c.timeout_ms
redis.call('SET', lease(c.imei), c.id, 'PX', send + c.timeout_ms + quarantine)
write(c, 'state', 'sent', 'instance', SELF, 'run', RUN, 'begun', token, 'attempts', c.attempts + (repeated and 0 or 1),
  'sent_at', c.sent_at == '' and now or c.sent_at, 'deadline', deadline)
redis.call('ZADD', DUE, deadline, c.id)
redis.call('PEXPIREAT', hash(c.id), math.max(deadline, tonumber(c.expires_at)) + quarantine + DAY)
return { 1, 0, answer(c) }
