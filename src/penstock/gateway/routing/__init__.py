"""Routes: a model's name to one of several targets, and what happens when one of them fails."""
