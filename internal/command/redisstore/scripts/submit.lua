-- submit keeps a new command and sets it on its way. ARGV: the command, how many may be open. Answers 1 if it is new, and the command; or
-- why it is not taken.
local c = read(ARGV[3])
if c then return { 0, answer(c) } end
c = command(3)
local refusal = crowded(c, ARGV[13])
if refusal then return refusal end
keep(c)
route(c)
return { 1, answer(c) }
