"""HTML pages and plots for evaluation and exploration."""
