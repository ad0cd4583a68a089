"""Roaming agreements as data: what two operators charge each other, by line and by deal."""
