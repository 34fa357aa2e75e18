"""A simulation of everybody who touches a run, one call at a time, under a seeded schedule."""
