"""What starts and stops the processes of a deployment, read from its files, held to the chain."""
