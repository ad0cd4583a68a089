"""Who owes whom: records and their tree, positions, nets, netting, maturity, co-signatures."""
