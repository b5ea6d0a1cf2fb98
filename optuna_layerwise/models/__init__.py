"""A model as named blocks."""
