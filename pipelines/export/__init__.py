"""What a trained plugin is exported as: SavedModel with waveform signatures, ONNX."""
