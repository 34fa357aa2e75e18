"""The read side: what lists, pages, metrics and reconcilers see. Nothing here writes."""
