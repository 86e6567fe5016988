"""The Anthropic wire format: messages, and the count of their tokens."""
