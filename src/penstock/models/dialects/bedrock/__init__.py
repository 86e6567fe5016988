"""Amazon Bedrock's Converse API, as a provider speaks it."""
