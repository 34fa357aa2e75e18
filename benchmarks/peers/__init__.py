"""Other task queues that keep what became of a job, measured as ours is."""
