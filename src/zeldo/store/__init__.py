"""Runs kept in zarr."""
