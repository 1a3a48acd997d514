-- sessions writes down which devices are connected to this instance, and which are not any more. ARGV: one text, for each imei, token,
-- and 1 or 0, with spaces between. Answers those of the devices whose waiting commands have not all been taken over yet, and those that
-- have a newer session elsewhere. The instance of an older one is told to close it.
local left = 200 -- how many commands this call may still take over: some milliseconds of Redis' time
local AHEAD = 1000 -- how many ms an instance may be wrong about Redis' clock
local CONNECTION = 17 -- where in a token its login ends, and what names the connection begins

-- parse takes a token apart: login in ms by Redis' clock, number of the connection in its run, run.
local function parse(token)
  local login, number, run = string.match(token or '', '^(%d+)-(%d+)-(.+)$')
  return login and { login = login, number = number, run = run }
end

-- newer reports whether the session wins against the one that is there. One from after now was written by a clock that has been set back
-- since, and must not keep its device away.
local function newer(s, other, owner)
  if not other then return true end
  if other.run == s.run then return s.number >= other.number end
  if tonumber(other.login) > now + AHEAD then return true end
  if s.login ~= other.login then return s.login > other.login or not alive(owner, other.run) end
  return s.run > other.run or not alive(owner, other.run)
end

-- collect takes over the device's waiting commands and reports whether that is all of them.
local function collect(imei)
  local ids = redis.call('LRANGE', parked(imei), 0, left) -- one more than may be, which tells whether that is all
  if #ids == 0 or holder(imei) ~= SELF then return true end
  local count = math.min(#ids, left)
  for n = 1, count do
    local c = read(ids[n])
    if c and c.at == PARKED and not final(c) then hand(c, SELF) end
  end
  redis.call('LTRIM', parked(imei), count, -1)
  left = left - count
  return count == #ids
end

local imeis, named, connected = {}, {}, {}
for imei, token, flag in string.gmatch(ARGV[3], '(%S+) (%S+) ([01])') do
  local n = #imeis + 1
  imeis[n], named[n], connected[n] = imei, token, flag == '1'
end
local owners, tokens = redis.call('HMGET', REGISTRY, unpack(imeis)), redis.call('HMGET', SESSIONS, unpack(imeis))

local again, lost = {}, {}

-- tell has the instance close its older session. Programs that know nothing of it take the entry for one that takes back a command.
local function tell(owner, imei, held)
  if not held or owner == SELF or redis.call('EXISTS', heartbeat(owner)) == 0 then return end
  redis.call('XADD', outbound(owner), '*', 'id', 'taken-over-' .. imei, 'cancel', 'true', 'imei', imei, 'taken_over', held)
end

-- connect writes down a session unless a newer one is there.
local function connect(imei, token, owner, held)
  local mine, other = parse(token), parse(held)
  local known = owner == SELF and held and string.sub(held, CONNECTION) == string.sub(token, CONNECTION)
  if not known then
    if owner and not newer(mine, other, owner) then
      if other.run ~= RUN then lost[#lost + 1] = imei end
      return
    end
    redis.call('HSET', SESSIONS, imei, token)
    redis.call('HSET', REGISTRY, imei, SELF)
    if owner then tell(owner, imei, held) end
  end
  if not collect(imei) then again[#again + 1] = imei end
end

-- disconnect removes the session, and older ones of this run, but no newer one and nobody else's.
local function disconnect(imei, token, owner, held)
  local gone, other = parse(token), parse(held)
  if not other or other.run ~= RUN or other.number > gone.number then return end
  redis.call('HDEL', SESSIONS, imei)
  if owner == SELF then redis.call('HDEL', REGISTRY, imei) end
end

for n, imei in ipairs(imeis) do
  if connected[n] then
    connect(imei, named[n], owners[n], tokens[n])
  else
    disconnect(imei, named[n], owners[n], tokens[n])
  end
end
return { again, lost }
