"""Volumes that no machine holds: initial conditions by slabs, and pieces that evolve by themselves."""
