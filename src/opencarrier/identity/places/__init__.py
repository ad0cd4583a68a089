"""Where nodes are, coarsely: on whose word, and how many there are around a point at every zoom."""
