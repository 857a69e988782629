"""Public suites: one per protocol, for whoever writes a backend."""
