"""`lastword up` and `lastword demo`: the whole system on one machine, and what it survives."""
