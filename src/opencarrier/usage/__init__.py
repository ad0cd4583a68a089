"""What was used: accounting observations, and the one usage a session yields in a cycle."""
