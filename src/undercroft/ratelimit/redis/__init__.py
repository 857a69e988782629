"""Limits in Redis: each decision is one script on the server, by the server's clock.

Keys, where `<id>` is `<policy>:<key>`; all of one decision lie in one hash slot:

    undercroft:limit:{<id>}:b<unit>.<rate>       string  "debt at"                   token bucket, GCRA, leaky bucket
    undercroft:limit:{<id>}:w<window>            string  "start count"               fixed window
    undercroft:limit:{<id>}:q<period>.<zone>     string  "start count"               quota of a calendar
    undercroft:limit:{<id>}:c<sub>.<precision>   string  "index count …"             sliding window, counter
    undercroft:limit:{<id>}:l<window>            list    total, then "at cost" each  sliding window, log
    undercroft:limit:{<id>}:s<lease>             zset    token by end of lease       concurrency
    undercroft:limited:{<policy>}:until, :about  zset, hash                          who is limited now

Numbers are microseconds, or units of a rule. Each key expires a second after it says nothing any more. The URL's
option `prefix` replaces `undercroft`, so that several applications can share a server.
"""

from undercroft.ratelimit.redis._store import RedisLimits

__all__ = ["RedisLimits"]
