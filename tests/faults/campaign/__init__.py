"""The campaign: a whole system of real processes, a seeded plan of faults, a checker of its own."""
