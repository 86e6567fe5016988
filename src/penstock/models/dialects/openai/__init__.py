"""The OpenAI wire format: chat completions, completions and embeddings."""
