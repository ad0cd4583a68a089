"""What use costs: agreements between operators, retail plans, quotes, holds and charges."""
