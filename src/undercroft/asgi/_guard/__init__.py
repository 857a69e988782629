"""What stands before an application: rate limits by rule and by route, and protection from floods.

`_address`, `_keys`, `_paths` and `_lists` say who and what a request is; `_structured`, `_fields` and `_parse` are the
fields on the wire; `_here` and `_answers` are one request and its refusal; `_rules`, `_guard` and `_route` limit;
`_penalty`, `_buckets`, `_lag`, `_sharing` and `_ddos` protect. `undercroft.asgi` has the names.
"""
