"""What is spoken and at which pitch, from log-mels of any voice: networks whose weights are part of the package."""
