"""What hosts earn: lifetime entitlements per payout account, their Merkle roots, proofs, claims."""
