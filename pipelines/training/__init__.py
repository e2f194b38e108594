"""The training loop: checkpoints, distribution, logs, early stopping."""
