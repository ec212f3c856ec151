"""Two processes that belong together: how they speak, share memory, and end with one another."""
