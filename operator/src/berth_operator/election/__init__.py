"""Which of several operators works: the one that holds the Lease."""
