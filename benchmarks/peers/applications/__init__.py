"""One application for each peer: copied into a folder of its own, run in an environment of its own.

Each has `fill(jobs)`, which makes what the peer needs and enqueues so many jobs that do nothing.
"""
