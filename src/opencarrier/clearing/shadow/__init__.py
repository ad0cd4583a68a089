"""A month beside another clearing of it: every difference, with its reason and its money."""
