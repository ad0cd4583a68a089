"""Pay as you use: vouchers, acknowledgements and leases, off chain."""
