-- cancel ends a command that is queued. ARGV: id, and the stream and entry that ask for it, or nothing. Answers whether it did, and the
-- command.
if ARGV[4] ~= '' then drop(ARGV[4], ARGV[5]) end
local c = read(ARGV[3])
if not c then return false end
if c.state ~= 'queued' then return { 0, answer(c) } end
finish(c, 'cancelled', 'taken back by its sender', now)
return { 1, answer(c) }
