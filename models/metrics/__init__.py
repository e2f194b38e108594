"""Evaluation metrics on arrays, each with a fixed definition."""
