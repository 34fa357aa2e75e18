"""The monitoring web: for now only its health; the pages follow."""
