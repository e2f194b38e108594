"""What a decoder of speech begins with: the harmonics of an F0, and trained initial weights."""
