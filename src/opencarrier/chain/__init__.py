"""The EVM behind one interface: embedded node, client, transaction manager, event follower."""
