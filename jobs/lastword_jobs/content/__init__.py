"""What policies are made of: read as Graph gives it, compared and written without what is noise."""
