-- deregister says that this run of the instance has ended, and is to be forgotten sooner than if it had died. ARGV: by how many ms.
if not alive(SELF, RUN) then return 0 end
redis.call('DEL', heartbeat(SELF)) -- which matters more, if there is no memory
redis.call('ZADD', INSTANCES, now - ARGV[3], SELF)
return 1
