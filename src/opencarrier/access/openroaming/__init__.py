"""What OpenRoaming adds to RADIUS and Passpoint: consortium identifiers, attributes, reasons."""
