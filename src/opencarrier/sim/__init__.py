"""The world in software: radios, phones, operators, faults; for the demo, tests and load."""
