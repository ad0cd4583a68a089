"""Passpoint profiles for phones and computers, each a pure function of one description."""
