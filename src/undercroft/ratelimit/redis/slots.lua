-- KEYS: a sorted set of tokens by the ends of their leases, microseconds. See _rules/_slots.py.
local function slots(key, arg, now, cost, token)
  local limit, lease = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1])
  local live, latest = '(' .. text(now), now + lease
  local count = redis.call('ZCOUNT', key, live, '+inf')
  local last = redis.call('ZREVRANGE', key, 0, 0, 'WITHSCORES')
  local left, retry, reset = math.max(0, limit - count), 0, 0
  if count > 0 then reset = math.min(tonumber(last[2]), latest) - now end
  if cost > 0 and left == 0 then
    local next = redis.call('ZRANGEBYSCORE', key, live, '+inf', 'WITHSCORES', 'LIMIT', count - limit, 1)
    retry = math.min(tonumber(next[2]), latest) - now
  end
  local function set_back()
    for _, late in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. text(latest), '+inf')) do
      redis.call('ZADD', key, text(latest), late)
    end
  end
  local is_ahead = count > 0 and tonumber(last[2]) > latest
  return retry, left, reset, function()
    redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now))
    if is_ahead then set_back() end
    redis.call('ZADD', key, text(latest), token)
    redis.call('PEXPIRE', key, milliseconds(lease))
    return left - 1, lease
  end, is_ahead and set_back
end
