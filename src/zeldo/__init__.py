"""zeldo: from a cosmology and a seed to the evolved universe."""
from zeldo._version import __version__
__all__ = ["__version__"]
