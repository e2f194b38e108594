"""From folders to training batches: listing, splits, records on disk, and the input pipeline."""
