"""Restores: previewed, confirmed, and written back item by item, so that nothing is done twice."""
