"""Zip and tar archives as folders: their members are listed and read without unpacking the archive into files."""
