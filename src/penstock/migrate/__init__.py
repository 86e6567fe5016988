"""Taking over from other gateways: their models, projects, keys and budgets, so that no client changes."""
