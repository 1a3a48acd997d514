-- take looks at an entry of this instance's stream and answers with its command if that is to be carried out. An entry of a command that
-- is known by another entry is removed; one that was taken back meanwhile is ended. ARGV: stream, entry, the command.
local stream, entry = ARGV[3], ARGV[4]
if not present(stream, entry) then return false end
local c = read(ARGV[5])
if not c then
  c = command(5)
  c.at, c.entry = stream, entry
  keep(c)
  if takenBack(c) then
    finish(c, 'cancelled', TAKEN_BACK, now)
    return answer(c)
  end
elseif final(c) or c.at ~= stream or c.entry ~= entry then
  drop(stream, entry)
  return false
end
if c.state == 'queued' or resendable(c) then return answer(c) end
return false
