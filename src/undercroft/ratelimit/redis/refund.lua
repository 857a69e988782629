-- KEYS: of each rule its state. ARGV: the time or "", the cost, then each rule's kind, how many numbers it has, and
-- these. The oldest is given back first: whichever call it was, what is left counts for at least as long as it should.
local now, cost = time_of(ARGV[1]), tonumber(ARGV[2])
local refund = {}

function refund.bucket(key, arg)
  local unit, rate = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
  local stored = redis.call('GET', key)
  if not stored then return end
  local debt, at = pair(stored)
  if now > at then debt = debt - (now - at) * rate end
  debt = math.max(0, debt - cost * unit)
  if debt == 0 then redis.call('DEL', key) else keep(key, text(debt) .. ' ' .. text(now), quotient_up(debt, rate)) end
end

local function refund_window(key, start, stop)
  local stored = redis.call('GET', key)
  if not stored then return end
  local first, count = pair(stored)
  count = math.max(0, count - cost)
  if first < start or count == 0 then
    redis.call('DEL', key)
  else
    keep(key, text(start) .. ' ' .. text(count), stop - now)
  end
end

function refund.window(key, arg)
  local length = tonumber(ARGV[arg + 1])
  local start = now - math.fmod(now, length)
  refund_window(key, start, start + length)
end

function refund.calendar(key, arg)
  for at = arg + 1, arg + 3 do
    local start, stop = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    if start <= now and now < stop then refund_window(key, start, stop) end
  end
end

function refund.counter(key, arg)
  local length, precision, left, words = tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2]), cost, {}
  local index, last = quotient(now, length), nil
  for first, second in string.gmatch(redis.call('GET', key) or '', '(%d+) (%d+)') do
    local sub, count = math.min(tonumber(first), index), tonumber(second)
    if sub >= index - precision then
      local part = math.min(left, count)
      left = left - part
      if count > part then
        words[#words + 1], last = text(sub) .. ' ' .. text(count - part), sub
      end
    end
  end
  if last then
    keep(key, table.concat(words, ' '), (last + precision + 1) * length - now)
  else
    redis.call('DEL', key)
  end
end

function refund.log(key, arg)
  local length, left, total = tonumber(ARGV[arg + 1]), cost, tonumber(redis.call('LINDEX', key, 0) or '0')
  local call = redis.call('LINDEX', key, 1)
  while call do
    local at, part = pair(call)
    local is_gone = at <= now - length
    if not is_gone and left == 0 then break end
    if not is_gone and part > left then
      redis.call('LSET', key, 1, text(at) .. ' ' .. text(part - left))
      total = total - left
      break
    end
    if not is_gone then left = left - part end
    total = total - part
    redis.call('LTRIM', key, 1, -1)
    call = redis.call('LINDEX', key, 1)
  end
  if not call then
    redis.call('DEL', key)
  else
    redis.call('LSET', key, 0, text(total))
  end
end

function refund.slots() end

local arg = 3
for i = 1, #KEYS do
  refund[ARGV[arg]](KEYS[i], arg + 2)
  arg = arg + 2 + tonumber(ARGV[arg + 1])
end
return 1
