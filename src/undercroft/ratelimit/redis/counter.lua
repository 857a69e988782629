-- KEYS: "index count index count …", rising. See _rules/_counter.py.
local function counter(key, arg, now, cost)
  local limit, length, precision = tonumber(ARGV[arg]), tonumber(ARGV[arg + 1]), tonumber(ARGV[arg + 2])
  local index = quotient(now, length)
  local at, counts, size, total, is_ahead = {}, {}, 0, 0, false
  local stored = redis.call('GET', key)
  if stored then
    for first, second in string.gmatch(stored, '(%d+) (%d+)') do
      local sub, count = tonumber(first), tonumber(second)
      if sub > index then sub, is_ahead = index, true end
      if sub >= index - precision then
        if size > 0 and at[size] == sub then
          counts[size] = counts[size] + count
        else
          size = size + 1
          at[size], counts[size] = sub, count
        end
        total = total + count
      end
    end
  end
  local function wait_for(sub)
    return (sub + precision + 1) * length - now
  end
  local function set()
    local words = {}
    for i = 1, size do words[i] = text(at[i]) .. ' ' .. text(counts[i]) end
    keep(key, table.concat(words, ' '), wait_for(at[size]))
  end
  local over, retry, reset, i = total + cost - limit, 0, 0, 1
  if size > 0 then reset = wait_for(at[size]) end
  while over > 0 and i <= size do
    over = over - counts[i]
    retry = wait_for(at[i])
    i = i + 1
  end
  return retry, math.max(0, limit - total), reset, function()
    if size == 0 or at[size] ~= index then
      size = size + 1
      at[size], counts[size] = index, 0
    end
    counts[size] = counts[size] + cost
    set()
    return limit - total - cost, wait_for(index)
  end, is_ahead and set
end
