"""Derivatives of the evolved universe, and what they are good for: Fisher matrices and reconstruction."""
