-- route takes the command of an entry to where its device is: of an entry of the inbox, or of one in the stream of an instance that is
-- dead. Answers 1 if it did, or with the command if that has ended instead. ARGV: stream, entry, the dead instance or nothing, the command,
-- how many may be open.
local stream, entry, dead = ARGV[3], ARGV[4], ARGV[5]
if dead ~= '' and redis.call('EXISTS', heartbeat(dead)) == 1 then return 0 end
if not present(stream, entry) then return 0 end
local c = read(ARGV[6])
if not c then
  c = command(6)
  local ended = admit(c, stream, entry, ARGV[16])
  if ended then return ended end
elseif final(c) or c.at ~= stream or c.entry ~= entry then
  drop(stream, entry)
  return 0
end
if c.state ~= 'queued' and not resendable(c) then return 0 end
route(c)
return 1
