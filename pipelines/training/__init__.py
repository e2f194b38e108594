"""Training: the loop, checkpoints, distribution, logs, early stopping."""
