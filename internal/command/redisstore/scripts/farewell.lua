-- farewell says that this run of the instance has ended.
if alive(SELF, RUN) then redis.call('DEL', heartbeat(SELF)) end
return 1
