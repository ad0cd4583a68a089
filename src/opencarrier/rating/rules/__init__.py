"""The rules of rating, one folder per version: what an old cycle was rated by stays runnable."""
