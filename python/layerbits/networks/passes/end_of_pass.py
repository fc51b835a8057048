"""The exception that ends a pass."""


class EndOfPass(Exception):  # noqa: N818 - no error: it ends a forward method
    """Raised by a channel after the last layer that is wanted; `MeasuredNetwork.run` catches it."""
