"""Responses that are kept, so that a request can name one and go on with its conversation."""
