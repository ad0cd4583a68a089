"""Forms of what the API answers and takes where no view model has them, each with an example.

They describe; what writes and reads the same stands in the rooms. A test holds both together.
"""
