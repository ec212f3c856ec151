"""What ``edgemill bundle`` does."""
