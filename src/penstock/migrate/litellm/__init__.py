"""From LiteLLM's proxy: its config.yaml and its PostgreSQL database."""
