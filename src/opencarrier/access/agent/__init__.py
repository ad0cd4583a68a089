"""The agent beside an access point: what it leaves out is added, what it loses is kept."""
