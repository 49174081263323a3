"""The version of the installed distribution: its number, and after it the commits since a release and their hash."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("zeldo")
except PackageNotFoundError:  # a source tree on the path that nobody installed
    __version__ = "0+unknown"
