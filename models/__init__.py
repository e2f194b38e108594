"""Signal processing, networks, losses and metrics: numbers in, numbers out."""
