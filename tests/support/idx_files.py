"""Writers of IDX files, from the description of the format."""

import gzip
import struct

import numpy as np

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx_bytes(values):
    """Return the content of an IDX file."""
    values = np.asarray(values)
    header = bytes([0, 0, CODES[values.dtype.name], values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


def write_mnist(folder, train, test, *, separator="-", compressed=True):
    """Write the four files of two pairs of images and labels, arrays of uint8."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, (images, labels) in {"train": train, "t10k": test}.items():
        for name, values in {f"images{separator}idx3": images, f"labels{separator}idx1": labels}.items():
            content = idx_bytes(np.asarray(values, np.uint8))
            path = folder / f"{part}-{name}-ubyte{'.gz' if compressed else ''}"
            path.write_bytes(gzip.compress(content) if compressed else content)
    return folder
