-- KEYS: the slots of a key. ARGV: "release" or "extend", the time or "", the lease, the token. Answers whether it held.
local now = time_of(ARGV[2])
local held_until = redis.call('ZSCORE', KEYS[1], ARGV[4])
if not held_until or tonumber(held_until) <= now then return 0 end
if ARGV[1] == 'release' then return redis.call('ZREM', KEYS[1], ARGV[4]) end
redis.call('ZADD', KEYS[1], text(now + tonumber(ARGV[3])), ARGV[4])
redis.call('PEXPIRE', KEYS[1], milliseconds(tonumber(ARGV[3])))
return 1
