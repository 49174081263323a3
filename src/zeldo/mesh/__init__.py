"""Fields on periodic meshes: painting, reading, Fourier transforms, Poisson's equation."""

from zeldo import forks as forks  # once, before anything starts threads
