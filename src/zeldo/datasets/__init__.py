"""Data sets: which universes are run, and the queue that makes them."""
