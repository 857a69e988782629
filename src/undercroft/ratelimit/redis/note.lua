-- KEYS: of a policy the keys by the ends of their waits (a sorted set, microseconds), and a hash of "since refusals".
-- ARGV: the time or "", the key, the wait, the refusals, and how many keys there may be.
local now, key, most = time_of(ARGV[1]), ARGV[2], tonumber(ARGV[5])
local function forget(keys)
  for _, each in ipairs(keys) do
    redis.call('ZREM', KEYS[1], each)
    redis.call('HDEL', KEYS[2], each)
  end
end
local since, refusals, stop = now, tonumber(ARGV[4]), now + tonumber(ARGV[3])
local known = redis.call('ZSCORE', KEYS[1], key)
if known and tonumber(known) > now then
  local before, count = pair(redis.call('HGET', KEYS[2], key) or (text(now) .. ' 0'))
  since, refusals, stop = before, refusals + count, math.max(stop, tonumber(known))
end
redis.call('ZADD', KEYS[1], text(stop), key)
redis.call('HSET', KEYS[2], key, text(since) .. ' ' .. text(refusals))
forget(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now), 'LIMIT', 0, 100))
local over = redis.call('ZCARD', KEYS[1]) - most
if over > 0 then forget(redis.call('ZRANGE', KEYS[1], 0, over - 1)) end
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
for i = 1, 2 do redis.call('PEXPIRE', KEYS[i], milliseconds(tonumber(last[2]) - now)) end
return 1
