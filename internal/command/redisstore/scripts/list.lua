-- list answers with ids of commands, the newest first, each followed by its place. What a list has by mistake it takes off. ARGV: the
-- device or nothing, 1 for open ones only, the place that all are before or 0, how many.
local imei, most, all = ARGV[3], tonumber(ARGV[6]), {}

-- newest adds so many of a list, whose commands all have ended or none has.
local function newest(key, ended)
  local before, count = ARGV[5] == '0' and '+inf' or '(' .. ARGV[5], 0
  repeat
    local found = redis.call('ZRANGE', key, before, '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, most, 'WITHSCORES')
    for i = 1, #found, 2 do
      local state = redis.call('HGET', hash(found[i]), 'state')
      if state and final({ state = state }) == ended then
        all[#all + 1] = { id = found[i], place = found[i + 1] }
        count = count + 1
      else
        redis.call('ZREM', key, found[i])
      end
      before = '(' .. found[i + 1]
    end
  until count >= most or #found == 0
end

newest(imei == '' and OPEN or openOf(imei), false)
if ARGV[4] == '0' then newest(imei == '' and ENDED or endedOf(imei), true) end
table.sort(all, function(a, b) return tonumber(a.place) > tonumber(b.place) end)
local answer = {}
for i = 1, math.min(#all, most) do
  answer[2 * i - 1], answer[2 * i] = all[i].id, all[i].place
end
return answer
