"""Baselines: what a tenant is meant to be, and how far it, or another one, has drifted from it."""
