"""Particles and the lattice they come from."""
