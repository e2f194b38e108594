"""Recognition of phonetic content and pitch in log-mels of any voice, by networks with weights in the package."""
