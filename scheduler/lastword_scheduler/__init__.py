"""The scheduler process: reconcilers that heal what no hook inside a worker can see."""
