"""Who takes part: operators, hosts, nodes, RADIUS clients, subscribers, their SIMs and keys."""
