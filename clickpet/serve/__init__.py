"""Servers on this machine: who may talk to them, leases of sessions, and the nnInteractive protocol."""
