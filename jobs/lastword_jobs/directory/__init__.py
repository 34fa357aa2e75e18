"""The directory of a tenant: its groups and its roles, metadata only."""
