-- KEYS: a list; its head is the sum of the costs, then "at cost" of each call, those of one microsecond as one. See
-- _rules/_log.py.
local function log_set_back(key, now, late)
  local last = redis.call('LINDEX', key, -1)
  while last and string.find(last, ' ') do
    local at, cost = pair(last)
    if at < now then break end
    late = late + cost
    redis.call('RPOP', key)
    last = redis.call('LINDEX', key, -1)
  end
  redis.call('RPUSH', key, text(now) .. ' ' .. text(late))
end

local function log(key, arg, now, cost)
  local limit, length = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1])
  local chunk, from, size, i = {}, 0, 2, 0
  local function read()
    i = i + 1
    if i > #chunk then
      chunk = redis.call('LRANGE', key, from, from + size - 1)
      from, size, i = from + size, math.min(512, size * 4), 1
    end
    return chunk[i]
  end
  local total, dropped = tonumber(read() or '0'), 0
  local call = read()
  local at, part
  while call do
    at, part = pair(call)
    if at > now - length then break end
    total, dropped = total - part, dropped + 1
    call = read()
  end
  local over, retry, reset, is_ahead, left = total + cost - limit, 0, 0, false, math.max(0, limit - total)
  if call then
    local last = pair(redis.call('LINDEX', key, -1))
    is_ahead = last > now
    reset = math.min(last, now) + length - now
  end
  while over > 0 and call do
    over = over - part
    retry = math.min(at, now) + length - now
    call = read()
    if call then at, part = pair(call) end
  end
  return retry, left, reset, function()
    -- The last of those that have left the window becomes the head.
    if dropped > 0 then redis.call('LTRIM', key, dropped, -1) end
    if redis.call('EXISTS', key) == 1 then
      redis.call('LSET', key, 0, text(total + cost))
    else
      redis.call('RPUSH', key, text(total + cost))
    end
    log_set_back(key, now, cost)
    redis.call('PEXPIRE', key, milliseconds(length))
    return limit - total - cost, length
  end, is_ahead and function()
    log_set_back(key, now, 0)
    redis.call('PEXPIRE', key, milliseconds(length))
  end
end
