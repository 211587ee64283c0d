"""One HTML page of what was emitted: reading the files, and laying them out."""
