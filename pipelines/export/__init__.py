"""Export of a trained plugin: SavedModel with waveform signatures, ONNX."""
