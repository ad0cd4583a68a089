"""Who answers for a realm: NAPTR, SRV and addresses in the DNS (RFC 7585)."""
