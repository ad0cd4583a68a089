"""How one gets on the network: RADIUS, EAP, quotes before service, accounting as facts."""
