"""Evaluation of a run on held-out files: translation quality, sample quality, copy synthesis, verdict."""
