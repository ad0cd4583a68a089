"""Who holds what: double entry, two-phase holds, one book per asset, a hash-chained journal."""
