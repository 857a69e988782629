"""One file per group, each with a `GROUP`."""
