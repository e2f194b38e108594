"""The Beam jobs of `preprocess` and `translate`: their transforms, and the work of the launcher before and after."""
