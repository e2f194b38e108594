"""The latent lab: one job of `explore` a file, each from what was asked to findings."""
