-- return takes a command that this instance cannot send to where its device is. A begin of it whose answer never came is taken back.
-- ARGV: id, the token of that begin.
local c = read(ARGV[3])
if not c or final(c) then return 0 end
if c.state == 'sent' and c.run == RUN and c.begun == ARGV[4] then withdraw(c) end
if c.state ~= 'queued' and not resendable(c) then return 0 end
if c.at ~= outbound(SELF) and c.at ~= PARKED then return 0 end
route(c)
return 1
