-- cancel ends a command that is queued. ARGV: id, and the stream and entry that ask for it, or nothing. Answers whether it did, and the
-- command. An entry may be read before that of its command, which another instance has: then that one finds out.
local c = read(ARGV[3])
local ended = c and c.state == 'queued'
if ended then finish(c, 'cancelled', TAKEN_BACK, now) end
if not c and ARGV[4] ~= '' then redis.call('SET', cancelled(ARGV[3]), ARGV[5], 'PX', DAY) end
if ARGV[4] ~= '' then drop(ARGV[4], ARGV[5]) end
if not c then return false end
return { ended and 1 or 0, answer(c) }
