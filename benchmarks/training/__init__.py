"""What a search costs, and what it costs less with: the training engine and its economy."""
