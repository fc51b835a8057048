"""Inputs and labels in the forms in which people have them, read into tensors that share their first axis."""
