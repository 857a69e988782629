-- KEYS: as for note.lua. ARGV: the time or "", how many. Answers key, end, and "since refusals", those that end last first.
local now = time_of(ARGV[1])
local found = redis.call('ZREVRANGEBYSCORE', KEYS[1], '+inf', '(' .. text(now), 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local answer = {}
for i = 1, #found, 2 do
  answer[#answer + 1] = found[i]
  answer[#answer + 1] = text(tonumber(found[i + 1]))
  answer[#answer + 1] = redis.call('HGET', KEYS[2], found[i]) or (text(now) .. ' 1')
end
return answer
