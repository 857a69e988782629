"""What `undercroft.logging.sentry` is made of. Nothing here imports the SDK; it is handed in."""
