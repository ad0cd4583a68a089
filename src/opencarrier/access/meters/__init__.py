"""What nodes' meters showed, as the home keeps it: signed statements, and who may sign them."""
