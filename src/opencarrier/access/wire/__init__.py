"""Sans-IO codecs and state machines of the access room."""
