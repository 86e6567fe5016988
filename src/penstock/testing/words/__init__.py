"""How each vendor says things: answers, streams and errors in their real shapes."""
