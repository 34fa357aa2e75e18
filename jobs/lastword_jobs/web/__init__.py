"""The pages of a tenant: where operations are started and their records are looked at."""
