-- KEYS: "start count". See _rules/_window.py.
local function counted(key, limit, start, stop, now, cost)
  local count, first = 0, start
  local stored = redis.call('GET', key)
  if stored then
    local used
    first, used = pair(stored)
    if first >= start then count = used end
  end
  local function set(value)
    keep(key, text(start) .. ' ' .. text(value), stop - now)
  end
  local retry, reset = 0, 0
  if count + cost > limit then retry = stop - now end
  if count > 0 then reset = stop - now end
  return retry, math.max(0, limit - count), reset, function()
    set(count + cost)
    return limit - count - cost, stop - now
  end, first > start and function() set(count) end
end

local function window(key, arg, now, cost)
  local limit, length = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1])
  local start = now - math.fmod(now, length)
  return counted(key, limit, start, start + length, now, cost)
end

-- Of four instants the caller knows of, the clock chooses the two around now.
local function calendar(key, arg, now, cost)
  for at = arg + 1, arg + 3 do
    local start, stop = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    if start <= now and now < stop then
      return counted(key, tonumber(ARGV[arg]), start, stop, now, cost)
    end
  end
  return nil
end
