"""Diameter credit control (Gy, Ro) out of captures: messages, transports, sessions, usage."""
