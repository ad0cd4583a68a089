"""opencarrier: run or join an open wireless network where use, payment and proof are one thing."""

__version__ = "0.1.0"
