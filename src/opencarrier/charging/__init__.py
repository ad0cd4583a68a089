"""Charging of 5G sessions: Nchf_ConvergedCharging (3GPP TS 32.290, TS 32.291)."""
