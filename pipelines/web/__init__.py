"""The page of the script `listen`: uploads, limits, translation of a file or a batch, and the server."""
