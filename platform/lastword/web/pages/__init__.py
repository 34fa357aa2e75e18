"""The pages of the web, a file for each thing that people look at."""
