"""Volumes larger than the memory of a machine: initial conditions by slabs, and pieces that evolve by themselves."""
