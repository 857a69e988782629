-- Whole numbers below 2^53, which doubles have exactly. A quotient of doubles may be rounded up to the next whole
-- number, so quotients are made of remainders, which are exact.
local function quotient(a, b)
  return (a - math.fmod(a, b)) / b
end

local function quotient_up(a, b)
  local rest = math.fmod(a, b)
  if rest == 0 then return a / b end
  return (a - rest) / b + 1
end

local function text(number)
  return string.format('%.0f', number)
end

local function pair(words)
  local first, second = string.match(words, '^(%d+) (%d+)')
  return tonumber(first), tonumber(second)
end

-- A second longer than the state says anything: a state that is kept too long does no harm.
local function milliseconds(us)
  return text(math.ceil(us / 1000) + 1000)
end

local function keep(key, value, us)
  redis.call('SET', key, value, 'PX', milliseconds(us))
end

-- The server's clock; a time of the caller's own is for tests.
local function time_of(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000000 + tonumber(time[2])
end
