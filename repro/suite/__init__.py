"""Cells, store, engine, command line and emitters behind every table."""
