"""The front end, in NumPy: files to features and back, and their statistics."""
