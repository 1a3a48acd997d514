-- sessions writes down which devices are connected to this instance, and which are not any more. ARGV: for each imei, token, and 1 or 0.
-- Answers those of the devices whose waiting commands have not all been taken over yet.
local AT_ONCE = 200

-- parse takes a token apart: login in ms by Redis' clock, number of the connection in its run, run.
local function parse(token)
  local login, number, run = string.match(token or '', '^(%d+)-(%d+)-(.+)$')
  return login and { login = login, number = number, run = run }
end

-- newer reports whether the session wins against the one that is there.
local function newer(s, token, other, owner)
  if not other then return true end
  if other.run == s.run then return s.number >= other.number end
  if s.login ~= other.login then
    return s.login > other.login or not alive(owner, other.run)
  end
  return s.run > other.run or not alive(owner, other.run)
end

-- collect takes over the device's waiting commands and reports whether that is all of them.
local function collect(imei)
  local ids = redis.call('LRANGE', parked(imei), 0, AT_ONCE - 1)
  if #ids == 0 then return true end
  if holder(imei) ~= SELF then return true end
  for _, id in ipairs(ids) do
    local c = read(id)
    if c and c.at == PARKED and not final(c) then hand(c, SELF) end
  end
  redis.call('LTRIM', parked(imei), #ids, -1)
  return #ids < AT_ONCE
end

local again = {}
for i = 3, #ARGV, 3 do
  local imei, token, connected = ARGV[i], ARGV[i + 1], ARGV[i + 2] == '1'
  local owner, held = redis.call('HGET', REGISTRY, imei), redis.call('HGET', SESSIONS, imei)
  local mine, other = parse(token), parse(held)
  if not connected then
    if other and other.run == RUN and other.number <= mine.number then
      redis.call('HDEL', SESSIONS, imei)
      if owner == SELF then redis.call('HDEL', REGISTRY, imei) end
    end
  elseif not owner or newer(mine, token, other, owner) then
    if owner ~= SELF or not other or other.run ~= RUN or other.number ~= mine.number then
      redis.call('HSET', SESSIONS, imei, token)
      redis.call('HSET', REGISTRY, imei, SELF)
    end
    if not collect(imei) then again[#again + 1] = imei end
  end
end
return again
