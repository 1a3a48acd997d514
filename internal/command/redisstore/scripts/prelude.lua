-- What every script begins with, behind the reasons that scripts.go gives it. A script is one transition, so everybody sees it whole or not at all.
--
-- The first two arguments are the instance that asks and its run. Redis under memory pressure refuses a script's first write that needs
-- memory and goes on after the others, so every function writes what needs memory first and removes afterwards.
local SELF, RUN = ARGV[1], ARGV[2]
local GROUP = 'tcp-ingestion'
local REGISTRY, SESSIONS = 'connections:registry', 'connections:sessions'
local INSTANCES, DUE, INBOX = 'commands:instances', 'commands:due', 'commands:inbox'
local RESPONSES, LENGTH = 'commands:responses', 100000
local OPEN, ENDED, PLACE = 'commands:open', 'commands:ended', 'commands:place' -- lists, by the place of a command in them
local PARKED = 'parked' -- where a command is that is in no stream
local DAY = 86400000

-- now is Redis' clock in ms, so that instances whose clocks are wrong agree.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function hash(id) return 'commands:command:' .. id end
local function lease(imei) return 'commands:turn:' .. imei end -- the name that other programs know
local function parked(imei) return 'commands:parked:' .. imei end
local function outbound(instance) return 'commands:outbound:' .. instance end
local function openOf(imei) return OPEN .. ':' .. imei end
local function endedOf(imei) return ENDED .. ':' .. imei end
local function cancelled(id) return 'commands:cancelled:' .. id end
local function heartbeat(instance) return 'instance:heartbeat:' .. instance end

-- iso writes ms since 1970 as ISO 8601 (the civil calendar counted from 1 March 0000, in eras of 400 years).
local function iso(ms)
  if ms == '' then return '' end
  local floor = math.floor
  local days, rest = floor(ms / DAY), ms % DAY
  local shifted = days + 719468
  local era = floor(shifted / 146097)
  local day = shifted % 146097
  local year = floor((day - floor(day / 1460) + floor(day / 36524) - floor(day / 146096)) / 365)
  day = day - (365 * year + floor(year / 4) - floor(year / 100))
  local month = floor((5 * day + 2) / 153)
  day = day - floor((153 * month + 2) / 5) + 1
  month = month < 10 and month + 3 or month - 9
  year = year + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02dT%02d:%02d:%02d.%03dZ', year, month, day,
    floor(rest / 3600000), floor(rest / 60000) % 60, floor(rest / 1000) % 60, rest % 1000)
end

-- read returns a command's fields, or nil.
local function read(id)
  local flat = redis.call('HGETALL', hash(id))
  if #flat == 0 then return nil end
  local c = {}
  for i = 1, #flat, 2 do c[flat[i]] = flat[i + 1] end
  return c
end

-- answer is the command as the caller reads it.
local function answer(c) return redis.call('HGETALL', hash(c.id)) end

-- write sets fields of the command, name and value in turn.
local function write(c, ...)
  local fields = { ... }
  for i = 1, #fields, 2 do
    if type(fields[i + 1]) == 'number' then fields[i + 1] = string.format('%.0f', fields[i + 1]) end
    c[fields[i]] = fields[i + 1]
  end
  redis.call('HSET', hash(c.id), unpack(fields))
end

local function final(c) return c.state ~= 'queued' and c.state ~= 'sent' end
local function overdue(c) return tonumber(c.expires_at) <= now end

-- alive reports whether this run of the instance lives, as far as Redis knows.
local function alive(instance, run) return redis.call('GET', heartbeat(instance)) == run end

-- resendable reports whether a command may be sent again although it may have been sent: it says so, and who sent it died.
local function resendable(c)
  return c.state == 'sent' and c.idempotent == 'true' and c.run ~= RUN and not alive(c.instance, c.run)
end

-- command returns the command in the arguments from the n-th on.
local function command(n)
  return {
    id = ARGV[n], imei = ARGV[n + 1], codec = ARGV[n + 2], payload = ARGV[n + 3], encoding = ARGV[n + 4],
    timeout_ms = ARGV[n + 5], created = ARGV[n + 6], expires_at = ARGV[n + 7], idempotent = ARGV[n + 8], confirm = ARGV[n + 9],
    state = 'queued', attempts = '0', sent_at = '', deadline = '', instance = '', run = '', at = '', entry = '',
  }
end

-- outlive has a key live as long as the command at least.
local function outlive(key, c)
  local life = redis.call('PTTL', hash(c.id))
  if redis.call('PTTL', key) < life then redis.call('PEXPIRE', key, life) end
end

-- enlist puts a new command on the lists of open ones: behind all that are on a list. The place is about when that was.
local function enlist(c)
  local place = math.max(now, tonumber(redis.call('GET', PLACE) or 0) + 1)
  redis.call('SET', PLACE, string.format('%.0f', place))
  redis.call('ZADD', OPEN, place, c.id)
  redis.call('ZADD', openOf(c.imei), place, c.id)
  outlive(openOf(c.imei), c)
end

-- archive takes a command that has ended to the lists of those. One of an earlier version is on none.
local function archive(c)
  local place = redis.call('ZSCORE', OPEN, c.id) or c.created
  for key, most in pairs({ [ENDED] = 10000, [endedOf(c.imei)] = 256 }) do
    redis.call('ZADD', key, place, c.id)
    redis.call('PEXPIRE', key, DAY)
    for _, id in ipairs(redis.call('ZRANGE', key, 0, -most - 1)) do redis.call('ZREM', key, id) end
  end
  redis.call('ZREM', OPEN, c.id)
  redis.call('ZREM', openOf(c.imei), c.id)
end

-- full reports whether there are so many members, or more.
local function full(key, most) return #redis.call('ZRANGE', key, most - 1, most - 1) > 0 end

-- crowded says why the command's device gets no further one, or nothing. What is first on its list may have been ended by an earlier
-- version, which leaves it there.
local function crowded(c, most)
  local key = openOf(c.imei)
  if full(key, MAX_OPEN_OF_DEVICE) then
    for _, id in ipairs(redis.call('ZRANGE', key, 0, 15)) do
      if not redis.call('ZSCORE', DUE, id) then redis.call('ZREM', key, id) end
    end
    if full(key, MAX_OPEN_OF_DEVICE) then return QUEUE_FULL end
  end
  if full(DUE, most) then return STORE_FULL end
end

-- keep writes down a command that is new. It is forgotten in any case some day, should everything else forget it.
local function keep(c)
  local all = {}
  for name, value in pairs(c) do
    all[#all + 1] = name
    all[#all + 1] = value
  end
  redis.call('HSET', hash(c.id), unpack(all))
  redis.call('ZADD', DUE, c.expires_at, c.id)
  redis.call('PEXPIREAT', hash(c.id), math.max(now, tonumber(c.expires_at)) + c.timeout_ms + DAY)
  enlist(c)
end

-- holder returns the instance that holds the device and lives, or nil. A token is that of a session of the living run; an entry without
-- one is somebody else's, and believed.
local function holder(imei)
  local instance = redis.call('HGET', REGISTRY, imei)
  if not instance then return nil end
  local beat = redis.call('GET', heartbeat(instance))
  local token = redis.call('HGET', SESSIONS, imei)
  if beat and (not token or string.sub(token, -#beat) == beat) then return instance end
  return nil
end

-- drop removes an entry from its stream.
local function drop(stream, entry)
  redis.call('XACK', stream, GROUP, entry)
  redis.call('XDEL', stream, entry)
end

-- present reports whether the entry is still in its stream.
local function present(stream, entry) return #redis.call('XRANGE', stream, entry, entry) > 0 end

-- later reports whether the stream entry was added after the other.
local function later(entry, other)
  local ms, seq = string.match(entry, '(%d+)-(%d+)')
  local otherMs, otherSeq = string.match(other, '(%d+)-(%d+)')
  if ms == otherMs then return tonumber(seq) > tonumber(otherSeq) end
  return tonumber(ms) > tonumber(otherMs)
end

-- takenBack reports whether an entry behind the command's own, read before it, took the command back.
local function takenBack(c)
  local by = redis.call('GET', cancelled(c.id))
  return by and later(by, c.entry)
end

-- leave removes the command from where it was.
local function leave(c, at, entry)
  if at == PARKED then
    redis.call('LREM', parked(c.imei), 1, c.id)
  elseif at ~= '' then
    drop(at, entry)
  end
end

-- hand puts the command into the instance's stream.
local function hand(c, instance)
  local fields = { 'id', c.id, 'imei', c.imei, 'codec', c.codec, 'payload', c.payload, 'encoding', c.encoding,
    'timeout_ms', c.timeout_ms, 'expires_at', c.expires_at, 'idempotent', c.idempotent }
  if c.confirm == 'true' then
    fields[#fields + 1] = 'confirm'
    fields[#fields + 1] = 'true'
  end
  local entry = redis.call('XADD', outbound(instance), '*', unpack(fields))
  write(c, 'at', outbound(instance), 'entry', entry)
end

-- park makes the command wait for its device.
local function park(c)
  if c.at == PARKED then return end
  redis.call('RPUSH', parked(c.imei), c.id)
  write(c, 'at', PARKED, 'entry', '')
  outlive(parked(c.imei), c)
end

-- route takes the command to where its device is, or lets it wait.
local function route(c)
  local at, entry, instance = c.at, c.entry, holder(c.imei)
  if instance then
    hand(c, instance)
    leave(c, at, entry)
  elseif at ~= PARKED then
    park(c)
    leave(c, at, entry)
  end
end

-- announce makes the result known.
local function announce(c)
  local fields = { 'id', c.id, 'imei', c.imei, 'status', c.state, 'response', c.response, 'encoding', c.response_encoding,
    'reason', c.reason, 'sent_at', iso(c.sent_at), 'finished_at', iso(c.finished_at), 'instance', c.instance }
  if (c.response_hex or '') ~= '' then
    fields[#fields + 1] = 'response_hex'
    fields[#fields + 1] = c.response_hex
  end
  redis.call('XADD', RESPONSES, 'MAXLEN', '~', LENGTH, '*', unpack(fields))
end

-- finish gives the command its final state. The caller has made sure that it has none.
local function finish(c, state, reason, at, response, encoding, raw)
  c.state, c.reason, c.finished_at, c.response, c.response_encoding = state, reason, at, response or '', encoding or 'text'
  c.response_hex = raw or ''
  if c.instance == '' then c.instance = SELF end
  announce(c)
  write(c, 'state', c.state, 'reason', reason, 'finished_at', at, 'response', c.response,
    'response_encoding', c.response_encoding, 'response_hex', c.response_hex, 'instance', c.instance)
  redis.call('PEXPIRE', hash(c.id), DAY)
  archive(c)
  redis.call('ZREM', DUE, c.id)
  leave(c, c.at, c.entry)
end

-- refuse makes known that the command of an entry is not taken, and forgets it: its id may be tried again. Returns the result.
local function refuse(c, reason)
  c.state, c.reason, c.finished_at, c.response, c.response_encoding, c.instance = 'failed', reason, now, '', 'text', SELF
  announce(c)
  leave(c, c.at, c.entry)
  local flat = {}
  for name, value in pairs(c) do
    flat[#flat + 1] = name
    flat[#flat + 1] = type(value) == 'number' and string.format('%.0f', value) or value
  end
  return flat
end

-- admit keeps the new command of an entry. Returns its result if it has one at once: it was taken back meanwhile, or there is no room.
local function admit(c, stream, entry, most)
  c.at, c.entry = stream, entry
  local back = takenBack(c)
  local refusal = not back and crowded(c, most)
  if refusal then return refuse(c, REASONS[refusal]) end
  keep(c)
  if back then
    finish(c, 'cancelled', TAKEN_BACK, now)
    return answer(c)
  end
end

-- expire is the end of a command that is queued.
local function expire(c)
  finish(c, 'expired', c.at == PARKED and NOT_CONNECTED or NO_LEASE, now)
end

-- hold lets the command's lease go on for ms from now, unless another command holds it.
local function hold(c, ms)
  local whose = redis.call('GET', lease(c.imei))
  if whose and whose ~= c.id then return end
  if ms <= 0 then
    redis.call('DEL', lease(c.imei))
  else
    redis.call('SET', lease(c.imei), c.id, 'PX', ms)
  end
end

-- withdraw takes back what this run has begun. What an earlier run may have sent stays sent, by nobody who lives.
local function withdraw(c)
  if tonumber(c.attempts) > 1 then
    write(c, 'run', '', 'attempts', c.attempts - 1)
    return
  end
  write(c, 'state', 'queued', 'instance', '', 'run', '', 'attempts', 0, 'sent_at', '', 'deadline', '')
  redis.call('ZADD', DUE, c.expires_at, c.id)
  if redis.call('GET', lease(c.imei)) == c.id then redis.call('DEL', lease(c.imei)) end
end
