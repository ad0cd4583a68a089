"""The command line: every room's commands under one name, thin, lazy, scriptable."""
