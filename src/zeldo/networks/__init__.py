"""Network architectures and their weights. The public names load torch when they are first used."""

import lazy_loader

from zeldo import forks as forks  # once, before anything starts threads

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
