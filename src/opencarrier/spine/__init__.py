"""The facts that flow from room to room, their derived ids, and the ports a room may ask for."""
