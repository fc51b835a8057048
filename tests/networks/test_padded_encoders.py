"""An encoder for which torch makes nested tensors from a padding mask: padding tokens have the signal 0."""

import pytest
import torch
from torch import nn

import layerbits as lb
from tests.support.random_arrays import normal_tensor

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")

X = normal_tensor(30, 5, 4).float()
PADDING = torch.arange(5).expand(30, 5) > 1 + torch.arange(30)[:, None] % 4
FLOAT_PADDING = torch.zeros(30, 5).masked_fill(PADDING, -torch.inf)
LAYERS = ["before", "encoder.layers.0.relu", "encoder.layers.0", "encoder", "act"]

# The nested and the dense attention round differently, in some hundred operations on values below 10.
ROUNDING = 1000 * torch.finfo(torch.float32).eps


class Encoder(nn.Module):
    def __init__(self, n_layers=2, *, norm=True, by_name=True):
        super().__init__()
        torch.manual_seed(0)
        self.by_name, self.before = by_name, nn.Tanh()
        layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, n_layers, norm=nn.LayerNorm(4) if norm else None)
        self.act, self.head = nn.Tanh(), nn.Linear(4, 2)
        with torch.no_grad():
            for parameter in self.parameters():  # a norm without a bias maps 0 to 0
                parameter.add_(0.1 * torch.randn_like(parameter))

    def forward(self, x, padding):
        x = self.before(x)
        encoded = self.encoder(x, src_key_padding_mask=padding) if self.by_name else self.encoder(x, None, padding)
        return self.head(self.act(encoded).mean(1))


def outputs(model, layer, *arguments):
    """Return the output of a module in a pass of torch itself, in evaluation without gradients."""
    values = []
    handle = model.get_submodule(layer).register_forward_hook(lambda module, args, output: values.append(output))
    with torch.no_grad():
        model.eval()(*arguments)
    handle.remove()
    return values[0]


@pytest.mark.parametrize("padding", [PADDING, FLOAT_PADDING], ids=["bool", "float"])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("n_layers", [1, 2])
@pytest.mark.parametrize("by_name", [True, False])
def test_activations_are_those_of_the_network_with_nested_tensors(padding, norm, n_layers, by_name):
    model = Encoder(n_layers, norm=norm, by_name=by_name)
    activations = lb.layer_activations(model, (X, padding), layers=LAYERS)
    for layer in ("before", "encoder", "act"):
        expected = outputs(model, layer, X, padding)
        assert torch.allclose(activations[layer], expected.flatten(1), rtol=0, atol=ROUNDING)
    assert model.encoder.use_nested_tensor


def test_padding_tokens_inside_the_encoder_are_0_and_the_others_those_of_dense_tensors():
    model, dense = Encoder(), Encoder()
    dense.encoder.use_nested_tensor = False
    activations, expected = (lb.layer_activations(network, (X, PADDING), layers=LAYERS) for network in (model, dense))
    for layer in ("encoder.layers.0.relu", "encoder.layers.0"):
        values, expected_values = (tensors[layer].reshape(30, 5, -1) for tensors in (activations, expected))
        assert not values[PADDING].any()
        assert expected_values[PADDING].any()
        assert torch.allclose(values[~PADDING], expected_values[~PADDING], rtol=0, atol=ROUNDING)


def test_pass_that_ends_within_an_encoder_leaves_the_next_pass_as_it_is():
    model = Encoder()
    activations = lb.layer_activations(model, (X, PADDING), layers=LAYERS[:2])
    assert torch.equal(activations["before"], torch.tanh(X).flatten(1))


@pytest.mark.parametrize("sigma", [0.3, lb.RelativeSigma(0.3)])
def test_default_measurement_of_an_encoder_has_its_layers(sigma):
    table = lb.layer_information(Encoder(), (X, PADDING), sigma=sigma)
    assert {row.layer for row in table} == {"before", "encoder.layers.0.relu", "encoder.layers.1.relu", "act"}
    expected = lb.information(outputs(Encoder(), "act", X, PADDING).flatten(1), 0.3)["signals", "I(X;T)"]
    if sigma == 0.3:
        # Both intervals hold with their confidence, so they overlap.
        assert table["act", "I(X;T)"].lower <= expected.upper
        assert expected.lower <= table["act", "I(X;T)"].upper


def test_masks_for_which_torch_makes_no_nested_tensors_keep_their_padding_tokens():
    """Torch computes dense tensors if the padding is not at the end of each row."""
    model, padding = Encoder(), PADDING.flip(1)
    activations = lb.layer_activations(model, (X, padding), layers="encoder")["encoder"]
    assert torch.allclose(activations, outputs(model, "encoder", X, padding).flatten(1), rtol=0, atol=ROUNDING)
    assert activations.reshape(30, 5, 4)[padding].unique(dim=0).shape[0] > 1


def test_batch_in_which_the_mask_of_one_row_changes_the_others_is_refused():
    padding = PADDING.clone()
    padding[17] = padding[17].flip(0)
    with pytest.raises(ValueError, match=r"^inputs: got rows that act on one another"):
        lb.layer_information(Encoder(), (X, padding), sigma=0.3)


def test_encoder_without_a_mask_is_measured():
    class Unmasked(Encoder):
        def forward(self, x):
            return super().forward(x, None)

    activations = lb.layer_activations(Unmasked(), X, layers="encoder")["encoder"]
    assert torch.allclose(activations, outputs(Unmasked(), "encoder", X).flatten(1), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("padding", [PADDING, FLOAT_PADDING, PADDING.flip(1)], ids=["bool", "float", "left"])
@pytest.mark.parametrize(("norm", "by_name"), [(True, True), (False, False)])
@pytest.mark.parametrize("layers", [None, "act"])
def test_network_with_its_noise_off_equals_the_network_without_noise(padding, norm, by_name, layers):
    model = Encoder(norm=norm, by_name=by_name)
    expected = outputs(model, "encoder", X, padding)
    noisy = lb.noisify(model, sigma=0.3, layers=layers, inputs=(X, padding))
    with lb.noise_off(noisy):
        values = outputs(noisy, "encoder", X, padding)
    assert torch.allclose(values, expected, rtol=0, atol=ROUNDING)
    assert noisy.encoder.use_nested_tensor


def test_noise_off_in_the_first_call_of_an_encoder_equals_the_encoder_without_noise():
    model = Encoder().encoder.eval()
    with torch.no_grad():
        expected = model(X, src_key_padding_mask=PADDING)
        with lb.noise_off(lb.noisify(model, sigma=0.3)):
            values = model(X, src_key_padding_mask=PADDING)
    assert torch.allclose(values, expected, rtol=0, atol=ROUNDING)


def test_padding_tokens_of_a_noisy_encoder_are_0_behind_its_layers_without_gradients_alone():
    noisy = lb.noisify(Encoder(norm=False), sigma=0.3, inputs=(X, PADDING))
    encoded = outputs(noisy, "encoder", X, PADDING)
    assert not encoded[PADDING].any()
    assert not encoded.equal(outputs(noisy, "encoder", X, PADDING))
    assert noisy.eval().encoder(noisy.before(X), src_key_padding_mask=PADDING)[PADDING].all()  # with gradients
    with torch.no_grad():
        assert noisy.train().encoder(X, src_key_padding_mask=PADDING)[PADDING].all()


def test_measured_signals_of_a_noisy_encoder_are_those_of_its_evaluation():
    signals = lb.propagate(noisy := lb.noisify(Encoder(), sigma=1e-3, inputs=(X, PADDING)), (X, PADDING), draws=1)
    assert not signals["encoder.layers.0.relu"].reshape(30, 5, 8)[PADDING].any()
    # The noise of earlier layers changes the means of tokens by about 1e-3.
    expected = outputs(noisy, "act", X, PADDING).flatten(1)
    assert torch.allclose(signals["act"][:, 0], expected, rtol=0, atol=0.1)


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("layers", ["encoder.layers.1", "encoder.layers.*"])
def test_noise_of_the_last_layer_has_no_warning_about_hooks(layers):
    model = lb.noisify(Encoder(), sigma=0.3, layers=layers, inputs=(X, PADDING))
    assert not lb.propagate(model, (X, PADDING), draws=1)["encoder.layers.1"].reshape(30, 5, 4)[PADDING].any()


def test_hook_of_the_user_behind_the_noise_of_the_last_layer_has_a_warning():
    model = lb.noisify(Encoder(), sigma=0.3, layers="encoder.layers.1", inputs=(X, PADDING))
    model.encoder.layers[1].register_forward_hook(lambda module, args, output: output + 1)
    with pytest.warns(
        UserWarning, match=r"^model: got a forward hook that changes encoder\.layers\.1 behind the noise"
    ):
        lb.propagate(model, (X, PADDING), draws=1)
