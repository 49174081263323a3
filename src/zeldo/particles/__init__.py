"""Particles of any number, the lattice among them, and the geometry of tiles."""
