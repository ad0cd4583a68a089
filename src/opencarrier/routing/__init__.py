"""The value routing hub: of several that could serve, who gives most for the money."""
