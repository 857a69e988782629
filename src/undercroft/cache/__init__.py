"""A cache. Work in progress: the face follows."""
