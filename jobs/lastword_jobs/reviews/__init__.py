"""Reviews: what is known of a tenant, at a moment, put together for people, and handed over."""
