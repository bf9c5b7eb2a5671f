"""The version, which modules read without importing the package's face."""

__version__ = "0.1.0"
