"""Exported models at work: translation of files and detection of outliers."""
