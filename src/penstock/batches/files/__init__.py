"""Files that were sent, and those that batches wrote: rows in `jobs.db`, contents beside it."""
