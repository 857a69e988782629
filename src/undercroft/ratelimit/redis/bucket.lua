-- KEYS: "debt at". See _rules/_bucket.py.
local function bucket(key, arg, now, cost)
  local cap, unit, rate = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
  local debt, at = 0, now
  local stored = redis.call('GET', key)
  if stored then
    debt, at = pair(stored)
    if now > at then
      local paid = (now - at) * rate
      if paid >= debt then debt = 0 else debt = debt - paid end
    end
  end
  local wanted, retry, left = debt + cost * unit, 0, 0
  if wanted > cap then retry = quotient_up(wanted - cap, rate) end
  if cap > debt then left = quotient(cap - debt, unit) end
  return retry, left, quotient_up(debt, rate), function()
    local reset = quotient_up(wanted, rate)
    keep(key, text(wanted) .. ' ' .. text(now), reset)
    return quotient(cap - wanted, unit), reset
  end, at > now and function()
    keep(key, text(debt) .. ' ' .. text(now), quotient_up(debt, rate))
  end
end
