"""What could keep an installation from working, part by part, and what to do about it."""
