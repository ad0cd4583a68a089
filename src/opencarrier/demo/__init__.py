"""The demo. It stands above `app` and `sim`; nothing but `__main__` imports it."""

from opencarrier.demo.play import DOMAIN, DemoEntropy, Request, run

__all__ = ["DOMAIN", "DemoEntropy", "Request", "run"]
