"""Every change, as Lua. Each tells of itself on the channel `ARGV[1]` with the message `ARGV[2]`.

It is told first and stored then, which nobody can see between, as a script is atomic. So a user whose ACL does not
allow the channel gets an error, and no change that was not told; and Redis sees that memory is full at the `SET`, which
it does not look at any more after another write of the same script.
"""

from __future__ import annotations

from undercroft.connections.redis import Script

_SET = """
local function set(key, data, ttl_ms)
    if ttl_ms == '' then redis.call('SET', key, data) else redis.call('SET', key, data, 'PX', ttl_ms) end
end
"""

# KEYS: entry, lease, …  ARGV: channel, message, then data and TTL of each ('' for none).
WRITE = Script(
    _SET
    + """
redis.call('PUBLISH', ARGV[1], ARGV[2])
for n = 1, #KEYS, 2 do
    set(KEYS[n], ARGV[n + 2], ARGV[n + 3])
    redis.call('DEL', KEYS[n + 1])
end
"""
)

# KEYS: entry, lease.  ARGV: channel, message, data, TTL, token.
WRITE_LEASED = Script(
    _SET
    + """
if redis.call('GET', KEYS[2]) ~= ARGV[5] then return 0 end
redis.call('PUBLISH', ARGV[1], ARGV[2])
set(KEYS[1], ARGV[3], ARGV[4])
redis.call('DEL', KEYS[2])
return 1
"""
)

# KEYS: entry, lease, …
DELETE = Script("""
redis.call('PUBLISH', ARGV[1], ARGV[2])
local count = 0
for n = 1, #KEYS, 2 do
    count = count + redis.call('UNLINK', KEYS[n])
    redis.call('DEL', KEYS[n + 1])
end
return count
""")

# KEYS: tags.  A version that is not there equals none, and the next one is another.
FORGET_TAGS = Script("""
redis.call('PUBLISH', ARGV[1], ARGV[2])
for n = 1, #KEYS do redis.call('DEL', KEYS[n]) end
""")

# KEYS: tags.  ARGV: TTL ('' for none), then a fresh version for each.
ENSURE_TAGS = Script("""
local versions = {}
for n = 1, #KEYS do
    local key, ttl_ms = KEYS[n], ARGV[1]
    local version = redis.call('GET', key)
    if not version then
        version = ARGV[n + 1]
        redis.call('SET', key, version)
        if ttl_ms ~= '' then redis.call('PEXPIRE', key, ttl_ms) end
    elseif ttl_ms == '' then
        redis.call('PERSIST', key)
    else
        local left_ms = redis.call('PTTL', key)
        if left_ms >= 0 and left_ms < tonumber(ttl_ms) then redis.call('PEXPIRE', key, ttl_ms) end
    end
    versions[n] = version
end
return versions
""")

# KEYS: lease.  ARGV: token, TTL.  Taken again by who has it, as its answer may have been lost.
TAKE_LEASE = Script("""
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
""")

RENEW_LEASE = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
""")

END_LEASE = Script("""
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
""")
