"""The bridge between a treatment planning system and a dose predictor. Research software, not for clinical use."""

from importlib.metadata import version

__version__ = version("fdp-bridge")
