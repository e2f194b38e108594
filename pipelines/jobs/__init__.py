"""The Beam jobs of `preprocess` and `translate`: their transforms, and what the launcher does before and after."""
