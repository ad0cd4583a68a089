"""Readers of what others recorded: captures and detail files, octets in, records out, no IO."""
