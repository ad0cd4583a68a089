"""View models: what pages and the API show, computed from the rooms, with nothing of HTML."""
