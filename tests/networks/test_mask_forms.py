"""Masks of other shapes and values than (n, L) of 0 and 1, and masks that seem to keep padding."""

import pytest
import torch
from torch import nn

import layerbits as lb

TOKENS = torch.tensor([[3, 4, 0, 0, 0], [5, 3, 7, 0, 0], [6, 2, 7, 1, 0]])
KEPT = TOKENS > 0


class Embedded(nn.Module):
    """Embeds tokens; the network has a mask, which it does not use."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.act = nn.Embedding(8, 4), nn.Identity()

    def forward(self, tokens, mask, types=None):
        return self.act(self.embedding(tokens)).mean(1)


def values(kept, **options):
    inputs = {"tokens": TOKENS, "mask": kept, "types": torch.zeros_like(TOKENS)}
    readout = lb.Tokens("mean", **options or {"mask": "mask"})
    table = lb.layer_information(Embedded(), inputs, sigma=1.0, layers="act", readout=readout, queries=2)
    return [(row.value, row.lower, row.upper) for row in table]


@pytest.mark.parametrize(
    "mask",
    [
        KEPT[:, None],
        KEPT[:, None, None].long(),
        KEPT[:, :, None],
        torch.zeros(3, 5).masked_fill(~KEPT, -torch.inf),
        torch.zeros(3, 1, 1, 5).masked_fill(~KEPT[:, None, None], torch.finfo(torch.float32).min),
        torch.where(KEPT, 0.0, -1e4),
        torch.where(KEPT, 0.0, -1e4).bfloat16(),
        torch.where(KEPT, 0.0, -1e4).bfloat16().float(),
        torch.zeros(3, 5).half().masked_fill(~KEPT, torch.finfo(torch.half).min),
        torch.zeros(3, 5).masked_fill(~KEPT, torch.finfo(torch.half).min).bfloat16(),
    ],
    ids=[
        "(n, 1, L)",
        "(n, 1, 1, L)",
        "(n, L, 1)",
        "-inf",
        "least number",
        "-10,000",
        "-10,000 in bfloat16",
        "-10,000 through bfloat16",
        "least number of half",
        "least number of half in bfloat16",
    ],
)
def test_masks_of_other_forms_keep_the_same_tokens(mask):
    assert values(mask) == values(KEPT)


@pytest.mark.parametrize("mask", [~KEPT, (~KEPT)[:, None].float()])
def test_a_mask_of_padding_is_named_by_padding(mask):
    assert values(mask, padding="mask") == values(KEPT)


@pytest.mark.parametrize(("mask", "options"), [(~KEPT, {"mask": "mask"}), (KEPT, {"padding": "mask"})])
def test_a_mask_that_keeps_padding_is_refused(mask, options):
    (option,) = options
    with pytest.raises(
        ValueError, match=rf"^{option}: got 'mask', which keeps tokens at which 'tokens' has one value alone"
    ):
        values(mask, **options)


@pytest.mark.parametrize(
    ("kept", "padding", "message"),
    [
        (KEPT, "m", "padding: got 'm', wanted the name or position of a tensor among the inputs: 'tokens', 'mask', "),
        (KEPT[:, :4], "mask", r"padding: got 'mask' of shape \(3, 4\), wanted \(3, 5\)"),
        (2 * KEPT, "mask", "padding: got values of 'mask' other than .*, wanted 1 for the tokens to leave out"),
    ],
)
def test_messages_on_padding_name_padding(kept, padding, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        values(kept, padding=padding)


def test_the_remedy_for_a_name_of_padding_is_accepted():
    with pytest.raises(ValueError, match=r"pass padding='src_key_padding_mask' instead$"):
        lb.Tokens("mean", mask="src_key_padding_mask")
    assert lb.Tokens("mean", padding="src_key_padding_mask").name == "mean padding=src_key_padding_mask"
    with pytest.raises(ValueError, match=r"^padding: got an argument beside mask"):
        lb.Tokens("mean", mask="kept", padding="padding")


def test_a_mask_of_pairs_of_tokens_is_refused():
    with pytest.raises(ValueError, match=r"^mask: got 'mask' of shape \(3, 5, 5\), wanted \(3, 5\)"):
        values(KEPT[:, None].expand(3, 5, 5))


@pytest.mark.parametrize("value", [-9000.0, -1.0, 2.0])
def test_a_mask_of_other_values_is_refused(value):
    with pytest.raises(ValueError, match=r"^mask: got values of 'mask' other than 0 and 1, or 0 and at most -10,000"):
        values(torch.where(KEPT, 0.0, value))


def test_a_mask_of_floating_point_zeros_alone_is_refused_with_remedies_that_work():
    with pytest.raises(
        ValueError, match=r"^mask: got 'mask' of floating-point zeros alone, .*; name it by padding='ma"
    ):
        values(torch.zeros(3, 5))
    assert values(torch.zeros(3, 5), padding="mask") == values(torch.ones(3, 5)) == values(torch.ones(3, 5).bool())
