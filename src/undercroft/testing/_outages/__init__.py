"""How each kind of outage is made, store by store. `undercroft.testing.outages` is the face."""
