"""Certificates in the image of the federation's: roots, policy and issuing CAs, ends, CRLs."""
