-- settle finds out which command a message answers. ARGV: the call's token, imei, answered or nacked, 1 for Codec 14, payload, encoding,
-- payload in hex, reason, ms of the gap, ms of quarantine, ms since the message came. Answers the match and the command.
local token, state, gap, quarantine = ARGV[3], ARGV[5], tonumber(ARGV[11]), tonumber(ARGV[12])
local key = lease(ARGV[4])
local id = redis.call('GET', key)
if not id then return { 'message', {} } end
local c = read(id)
if not c then
  if redis.call('PTTL', key) > gap then redis.call('PEXPIRE', key, gap) end
  return { 'late_answer', { 'id', id, 'imei', ARGV[4] } }
end
-- What came before the command was sent does not answer it, though it may be asked about only now.
if c.sent_at ~= '' and now - ARGV[13] < tonumber(c.sent_at) then return { 'message', {} } end
if c.state == 'queued' or (string.sub(c.codec, 1, 2) == '14') ~= (ARGV[6] == '1') then return { 'message', {} } end
if c.heard == token then return { c.match, answer(c) } end

local match, answers = 'late_answer', (c.answers or 0) + 1
if not final(c) then
  match = 'answer'
  finish(c, state, ARGV[10], now, ARGV[7], ARGV[8], ARGV[9])
end
write(c, 'heard', token, 'match', match, 'answers', answers)
if answers < tonumber(c.attempts) then
  hold(c, quarantine)
elseif answers == tonumber(c.attempts) then
  hold(c, gap)
end
return { match, answer(c) }
