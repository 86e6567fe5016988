"""Many requests as one durable job, answered when there is room."""
