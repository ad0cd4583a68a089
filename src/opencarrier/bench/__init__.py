"""Benches of the whole product, above `app` and `sim`; nothing imports them but by name."""
