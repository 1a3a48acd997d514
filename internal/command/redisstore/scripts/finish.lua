-- finish gives a command a final state. ARGV: state, reason, response, encoding, response in hex, ms of quarantine, attempts, ms of the
-- first one, ms of the deadline, and the command, for when it is lost. With fewer attempts than are kept the last one is taken back.
local c = read(ARGV[12])
if not c then
  c = command(12)
  c.attempts, c.sent_at, c.deadline = ARGV[9], ARGV[10], ARGV[11]
  if tonumber(c.attempts) > 0 then c.state = 'sent' end
  keep(c)
elseif final(c) then
  return answer(c)
end
if c.state == 'sent' and c.run == RUN and tonumber(ARGV[9]) < tonumber(c.attempts) then withdraw(c) end
local sent = c.state == 'sent'
finish(c, ARGV[3], ARGV[4], now, ARGV[5], ARGV[6], ARGV[7])
if sent then hold(c, tonumber(ARGV[8])) end
return answer(c)
