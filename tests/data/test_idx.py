"""The reader of IDX files."""

import gzip
import tracemalloc

import numpy as np
import pytest
import torch

from layerbits import DataError
from layerbits.data import read_idx, read_labelled_images
from tests.support.idx_files import CODES, idx_bytes

IMAGES = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4) * 10
LABELS = np.array([9, 0], np.uint8)


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.fixture
def pair(tmp_path):
    return write(tmp_path / "images", idx_bytes(IMAGES)), write(tmp_path / "labels", idx_bytes(LABELS))


@pytest.mark.parametrize("dtype", CODES)
def test_values_shape_and_type_are_read(tmp_path, dtype):
    values = np.array([[[0, 1, -2]], [[3, 100, 5]]]).astype(dtype)
    read = read_idx(write(tmp_path / "file", idx_bytes(values)))
    assert read.dtype == np.dtype(dtype)
    assert read.dtype.isnative
    assert np.array_equal(read, values)


def test_example_of_the_format_description_is_read(tmp_path):
    # The beginning of train-labels: magic number 2049 and the number of items, most significant byte first.
    assert read_idx(write(tmp_path / "file", b"\x00\x00\x08\x01\x00\x00\x00\x03\x05\x00\x04")).tolist() == [5, 0, 4]


@pytest.mark.parametrize("name", ["file", "file.gz", "file.idx"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_content_decides_about_compression(tmp_path, name, compress):
    assert np.array_equal(read_idx(write(tmp_path / name, compress(idx_bytes(IMAGES)))), IMAGES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\x00\x00\x08", "begins with 00 00 08"),
        (b"\x89PNG\r\n", "wanted an IDX file"),
        (b"\x00\x01\x08\x01\x00\x00\x00\x00", "wanted an IDX file"),
        (b"\x00\x00\x0a\x01\x00\x00\x00\x00", "wanted an IDX file"),
        (b"\x00\x00\x08\x00\x05", "wanted an IDX file"),
        (b"\x00\x00\x08\xff", "wanted an IDX file"),
        (idx_bytes(IMAGES)[:10], "ends within its header"),
        (idx_bytes(IMAGES)[:-1], r"got 23 bytes of values, wanted 24 for the shape \(2, 3, 4\)"),
        (idx_bytes(IMAGES) + b"\x00", "got more than 24 bytes of values, wanted 24"),
        (b"\x00\x00\x0e\x03" + b"\xff" * 12, "got 0 bytes of values"),
        (b"\x00\x00\x08\x03" + b"\x00" * 4 + b"\xff" * 8, "which is too large"),
        (gzip.compress(idx_bytes(IMAGES), mtime=0)[:-9], "damaged gzip"),
        (gzip.compress(idx_bytes(IMAGES), mtime=0)[:20] + b"\xff" * 40, "damaged gzip"),
        (b"\x1f\x8b", "damaged gzip"),
        (b"\x1f\x8b" + b"\x00" * 20, "damaged gzip"),
    ],
)
def test_damaged_file_is_named_in_one_line(tmp_path, content, message):
    path = write(tmp_path / "file", content)
    with pytest.raises(DataError, match=message) as raised:
        read_idx(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert "\n" not in str(raised.value)


def test_unreadable_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent: cannot be read \(No such file"):
        read_idx(tmp_path / "absent")
    with pytest.raises(DataError, match="cannot be read"):
        read_idx(tmp_path)


def test_control_characters_of_a_path_are_escaped(tmp_path):
    with pytest.raises(DataError, match=r"\\x1b\[31m\\u202e': cannot be read"):
        read_idx(tmp_path / "\x1b[31m\u202e")
    with pytest.raises(DataError, match=r"\\x1b': begins with nothing"):
        read_idx(write(tmp_path / "\x1b", b""))


@pytest.mark.parametrize("name", ["a\0b", "absent\0"])
def test_path_with_a_null_byte_is_refused(tmp_path, name):
    with pytest.raises(DataError, match=r"\\x00.*: cannot be read \(.*null") as raised:
        read_idx(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_empty_path_of_images_is_refused():
    with pytest.raises(DataError, match=r"^labels: got empty text"):
        read_labelled_images("images", "")


def test_values_beyond_the_expected_size_are_not_read(tmp_path):
    zeros = gzip.compress(bytes(2**26))  # a gzip file may have several members: 1 GB in 1 MB
    path = write(tmp_path / "file", gzip.compress(b"\x00\x00\x08\x01\x00\x00\x00\x0a") + zeros * 16)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="got more than 10 bytes of values, wanted 10"):
            read_idx(path)
        assert tracemalloc.get_traced_memory()[1] < 2**22  # buffers; the zeros of one member are 16 times as large
    finally:
        tracemalloc.stop()


def test_images_are_floats_from_0_to_1_and_labels_integers(pair):
    images = read_labelled_images(*pair)
    assert images.inputs.dtype == torch.float32
    assert images.labels.dtype == torch.int64
    assert images.inputs.shape == (2, 1, 3, 4)
    # One division rounds by half a unit in the last place.
    np.testing.assert_allclose(images.inputs[:, 0].numpy(), IMAGES / 255, rtol=2**-23)
    assert images.labels.tolist() == [9, 0]
    assert (len(images), images.size) == (2, (3, 4))


def test_first_returns_at_most_all_images(pair):
    images = read_labelled_images(*pair)
    assert images.first(1).labels.tolist() == [9]
    assert torch.equal(images.first(1).inputs, images.inputs[:1])
    assert len(images.first(5)) == 2


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES, LABELS[:1], "got 2 images, wanted 1, one for each label"),
        (IMAGES, np.array([0, 10], np.uint8), "got the label 10, wanted 0 to 9"),
        (LABELS, LABELS, r"images: got uint8 of shape \(2,\), wanted images"),
        (IMAGES, IMAGES, r"labels: got uint8 of shape \(2, 3, 4\), wanted labels"),
        (IMAGES.astype(np.float32), LABELS, "images: got float32"),
        (IMAGES, LABELS.astype(np.int32), "labels: got int32"),
        (IMAGES[:0], LABELS[:0], r"images: got uint8 of shape \(0, 3, 4\)"),
        (IMAGES[:, :, :0], LABELS, r"images: got uint8 of shape \(2, 3, 0\)"),
    ],
)
def test_inconsistent_images_and_labels_are_refused(tmp_path, images, labels, message):
    paths = write(tmp_path / "images", idx_bytes(images)), write(tmp_path / "labels", idx_bytes(labels))
    with pytest.raises(DataError, match=message) as raised:
        read_labelled_images(*paths)
    assert "\n" not in str(raised.value)


def test_label_beyond_the_number_of_classes_is_refused(pair):
    with pytest.raises(DataError, match="got the label 9, wanted 0 to 4"):
        read_labelled_images(*pair, classes=5)
