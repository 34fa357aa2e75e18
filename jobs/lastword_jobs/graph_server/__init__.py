"""A local server that speaks enough of Microsoft Graph to sync against, fault and count requests.

State is in memory; the same seed gives the same ids. It is strict: what Graph refuses, it refuses.
"""
