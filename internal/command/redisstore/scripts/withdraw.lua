-- withdraw takes begin back. ARGV: id.
local c = read(ARGV[3])
if not c or c.state ~= 'sent' or c.run ~= RUN then return 0 end
withdraw(c)
return 1
