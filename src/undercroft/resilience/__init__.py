"""Calls to what may fail: retried, bounded, cut off in time; locks and sagas. Work in progress: the face follows."""
