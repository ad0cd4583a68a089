"""What two sides could not agree on: opened with a bond, answered, settled by both or by time."""
