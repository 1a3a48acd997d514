-- take looks at an entry of this instance's stream and answers with its command if that is to be carried out. An entry of a command that
-- is known by another entry is removed. One that has ended instead is answered with too. ARGV: stream, entry, the command, how many may be
-- open.
local stream, entry = ARGV[3], ARGV[4]
if not present(stream, entry) then return false end
local c = read(ARGV[5])
if not c then
  c = command(5)
  local ended = admit(c, stream, entry, ARGV[15])
  if ended then return ended end
elseif final(c) or c.at ~= stream or c.entry ~= entry then
  drop(stream, entry)
  return false
end
if c.state == 'queued' or resendable(c) then return answer(c) end
return false
