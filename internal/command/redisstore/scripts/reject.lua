-- reject ends an entry that is no command, or none that can be carried out. Answers with the result, unless there was one for the id. ARGV: stream, entry, id, imei, reason,
-- and 1 if the id is one that can be remembered.
local stream, entry, reason, remember = ARGV[3], ARGV[4], ARGV[7], ARGV[8] == '1'
if not present(stream, entry) then return false end
if remember and read(ARGV[5]) then
  drop(stream, entry)
  return false
end
local c = { id = ARGV[5], imei = ARGV[6], codec = '12', payload = '', encoding = 'text', timeout_ms = '0', created = string.format('%.0f', now),
  expires_at = string.format('%.0f', now), idempotent = 'false', confirm = 'false', state = 'queued', attempts = '0', sent_at = '',
  deadline = '', instance = '', run = '', at = stream, entry = entry }
if remember then
  keep(c)
  finish(c, 'failed', reason, now)
  return answer(c)
end
refuse(c, reason)
return false
