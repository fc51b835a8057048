"""Read inputs and labels, in all accepted forms, into tensors that share their first axis and into class numbers."""
