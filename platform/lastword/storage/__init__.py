"""The ledger's storage: connections, dialects, tables and migrations. It knows no rule of a run."""
