"""What a result is worth: arrays in, numbers out, each definition pinned."""
