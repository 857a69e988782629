"""Floor 0: errors, clock, durations, ids, URLs, codec, lifecycle and the bound part.

Private to undercroft. What users need of it is exported by the modules above, or by `undercroft` itself.
"""
