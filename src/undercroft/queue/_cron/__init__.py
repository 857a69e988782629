"""Cron.

`_definition`, `_expression` and `_slots` say what a schedule is, `_state` and `_ledger` what is known of it,
`_scheduler` fires it, `_crons` and `_face` look at it.
"""
