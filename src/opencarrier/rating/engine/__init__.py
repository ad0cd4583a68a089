"""The rating of a whole month: the formula of `rules` as SQL over Parquet, exact to the unit."""
