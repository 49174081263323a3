"""A universe in numbers: spectra, comparison with a reference, bispectrum, redshift space, halos.

Names load their module, and torch with it, when first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
