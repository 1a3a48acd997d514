-- sessions writes down which devices are connected to this instance, and which are not any more. ARGV: for each imei, token, and 1 or 0.
-- Answers those of the devices whose waiting commands have not all been taken over yet.
local left = 200 -- how many commands this call may still take over: some milliseconds of Redis' time
local CONNECTION = 17 -- where in a token its login ends, and what names the connection begins

-- parse takes a token apart: login in ms by Redis' clock, number of the connection in its run, run.
local function parse(token)
  local login, number, run = string.match(token or '', '^(%d+)-(%d+)-(.+)$')
  return login and { login = login, number = number, run = run }
end

-- newer reports whether the session wins against the one that is there.
local function newer(s, other, owner)
  if not other then return true end
  if other.run == s.run then return s.number >= other.number end
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

local imeis = {}
for i = 3, #ARGV, 3 do imeis[#imeis + 1] = ARGV[i] end
local owners, tokens = redis.call('HMGET', REGISTRY, unpack(imeis)), redis.call('HMGET', SESSIONS, unpack(imeis))

-- connect writes down a session unless a newer one is there, and reports whether nothing waits for the device any more.
local function connect(imei, token, owner, held)
  if owner == SELF and held and string.sub(held, CONNECTION) == string.sub(token, CONNECTION) then return collect(imei) end
  if owner and not newer(parse(token), parse(held), owner) then return true end
  redis.call('HSET', SESSIONS, imei, token)
  redis.call('HSET', REGISTRY, imei, SELF)
  return collect(imei)
end

-- disconnect removes the session, and older ones of this run, but no newer one and nobody else's.
local function disconnect(imei, token, owner, held)
  local gone, other = parse(token), parse(held)
  if not other or other.run ~= RUN or other.number > gone.number then return end
  redis.call('HDEL', SESSIONS, imei)
  if owner == SELF then redis.call('HDEL', REGISTRY, imei) end
end

local again = {}
for n, imei in ipairs(imeis) do
  local token, connected = ARGV[3 * n + 1], ARGV[3 * n + 2] == '1'
  if not connected then
    disconnect(imei, token, owners[n], tokens[n])
  elseif not connect(imei, token, owners[n], tokens[n]) then
    again[#again + 1] = imei
  end
end
return again
