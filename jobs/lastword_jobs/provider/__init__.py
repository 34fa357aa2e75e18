"""How this deployment reaches the provider: credentials, sealed, and clients for runs."""
