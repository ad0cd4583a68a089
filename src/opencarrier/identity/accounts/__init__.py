"""Who may sign in, by which keys, and what each may do where."""
