"""Writers of IDX files that share no code with the reader."""

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
    """Write images and labels of both parts, arrays of uint8, into four files; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, (images, labels) in {"train": train, "t10k": test}.items():
        for name, values in {f"images{separator}idx3": images, f"labels{separator}idx1": labels}.items():
            content = idx_bytes(np.asarray(values, np.uint8))
            path = folder / f"{part}-{name}-ubyte{'.gz' if compressed else ''}"
            path.write_bytes(gzip.compress(content) if compressed else content)
    return folder
