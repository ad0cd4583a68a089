"""Compiled contracts as data: written by `contracts/build.py`, compared with the sources in CI."""
