"""The adapter to Microsoft Graph: what the operations know of the provider."""
