-- KEYS: of each rule its state. ARGV: "check" or "peek", the time or "", the cost, a token, then each rule's numbers.
-- Answers the time, and three numbers for each rule. When all allow, the cost is taken from all; else nothing changes,
-- but that a state from the future (the clock was set back) is taken to be of now.
local now, cost, token = time_of(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local answer, commits, set_back, is_allowed, arg = {now}, {}, {}, true, 5
for i = 1, #rules do
  local retry, left, reset, commit, settle = rules[i](KEYS[i], arg, now, cost, token)
  if not retry then return redis.error_reply('CLOCKS differ by more than a period') end
  answer[3 * i - 1], answer[3 * i], answer[3 * i + 1] = retry, left, reset
  commits[i], set_back[i] = commit, settle
  is_allowed = is_allowed and retry == 0
  arg = arg + takes[i]
end
if ARGV[1] == 'peek' then return answer end
for i = 1, #rules do
  if is_allowed then
    answer[3 * i], answer[3 * i + 1] = commits[i]()
  elseif set_back[i] then
    set_back[i]()
  end
end
return answer
