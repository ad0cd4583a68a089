"""Whose a stake is, what discount it carries at an instant, and how far that goes."""
