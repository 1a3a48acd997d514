-- sweep ends commands that nobody else ends. ARGV: how many it looks at, ms that whoever sent one has to end it himself, and 1 if a
-- heartbeat that is missing means a death. Answers how many it looked at, and those that it ended.
local grace, certain = tonumber(ARGV[4]), ARGV[5] == '1'
local ended = {}

local function due(c, at) redis.call('ZADD', DUE, at, c.id) end

-- unanswered is a command whose time to be answered is over.
local function unanswered(c)
  local deadline, beat = tonumber(c.deadline), redis.call('GET', heartbeat(c.instance))
  if deadline + grace > now then return due(c, deadline + grace) end
  if beat and beat == c.run then
    -- It has died and its heartbeat outlives it, unless it has beaten since.
    local last = redis.call('ZSCORE', INSTANCES, c.instance)
    if not last or tonumber(last) < deadline then return due(c, now + 1000) end
    return finish(c, 'timed_out', NO_ANSWER, now)
  end
  if not beat and not certain and c.run ~= '' then return due(c, now + 1000) end
  if c.idempotent ~= 'true' or overdue(c) then return finish(c, 'failed', DELIVERY_UNKNOWN, now) end
  route(c)
  due(c, c.expires_at)
end

local ids = redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do
  local c = read(id)
  if not c or final(c) then
    redis.call('ZREM', DUE, id)
  else
    if c.state == 'sent' then
      unanswered(c)
    elseif overdue(c) then
      expire(c)
    else
      due(c, c.expires_at)
    end
    if final(c) then ended[#ended + 1] = answer(c) end
  end
end
return { #ids, ended }
