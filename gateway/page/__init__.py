"""What all workers of a machine have to agree on, in memory that they share: permits, queues and breakers."""
