"""perflab: checks promised performance figures on real servers, with intervals and a verdict."""

from importlib.metadata import version

__version__ = version("perflab")
