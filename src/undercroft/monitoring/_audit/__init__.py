"""The audit log: who did what to which thing, kept durably, and in a chain that shows when it was tampered with."""
