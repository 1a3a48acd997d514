-- submit keeps a new command and sets it on its way. ARGV: the command.
local c = read(ARGV[3])
if c then return { 0, answer(c) } end
c = command(3)
keep(c)
route(c)
return { 1, answer(c) }
