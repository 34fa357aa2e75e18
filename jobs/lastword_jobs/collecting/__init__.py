"""Collecting the whole content of objects, one by one: for a baseline, a compare, a backup."""
