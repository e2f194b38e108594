"""Losses as pure functions of tensors: reduction, adversarial, reconstruction, waveform, variational."""
