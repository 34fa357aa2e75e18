"""A package that many applications have, of the same name as a folder of Lastword's source."""
