"""Answers given again: keys, entries, stores, calls shared while they run, and questions in other words."""
