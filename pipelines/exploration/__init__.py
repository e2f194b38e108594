"""Latent-space exploration: one module for each job of `explore --do`, each with a function `run`."""
