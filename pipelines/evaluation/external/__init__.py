"""Built-in metrics by external pretrained models. Their packages are imported when clips are scored."""
