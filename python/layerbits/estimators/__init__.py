"""Estimators of the information of layers, with confidence intervals. Proofs: docs/theory.md.

X is uniform over N inputs, and T = S + Z is a noisy layer. r noisy passes of every input give signals s_xj and the
mixtures p^(t|x) = mean_j N(t; s_xj, sigma^2 I), p^(t) = mean_x p^(t|x). An information is the mean difference of two
log densities at the same queries t. Two bounds enclose every information in expectation: the plug-in bound, from above,
is made of all passes; the decoder bound, from below, evaluates a decoder, which is made of some passes, at queries of
the other passes. For an entropy, the plug-in bound is the lower one.

    problem, settings       the checked arguments: Problem, MeasurementSettings
    query_counts            the number of queries of each input
    same_arguments          checks that the processes of a group pass the same network and data
    classes                 the class of each input, and the ceilings of information
    layer_groups            layers whose recorded signals fit into the budget together
    recorded_draws          probing draws and later draws of a group
    signal_ranges           the range of signals that an activation function bounds
    omitted_dimensions      the cost of the dimensions that are left out behind noise, with its errors
    principal_view          the view in which a layer that exceeds the budget is recorded
    layer_sample            passes through the network -> signals in few dimensions
    diagonal_gaussians      Gaussians of a layer with DropoutNoise
    log_densities           queries, and log densities of mixtures at queries
    plug_in_bound           the upper bound of an information, lower bound of an entropy
    draw_moments            means and covariances of the draws of every input
    decoder                 Decoder, the base of densities q(t|x)
    score_sums              log-sums over matrices of scores, queries by inputs
    low_rank_gaussians      Gaussian densities q(t|x) for hundreds of dimensions
    line_gaussians          almost Gaussian densities q(t|x) in one dimension
    decoders                densities q(t|x) made of draws
    dropout_decoders        the same for a layer with DropoutNoise
    input_decoders          InputDecoder, the protocol of a caller's decoders q(x|t)
    network_decoder         NetworkDecoder, a small network as a decoder of the caller
    seeded_generators       a seed for the global generators while code of the caller runs
    fitted_decoder          a decoder of the caller, fitted to draws and checked at queries
    wide_density            a wide density that bounds surprisals
    noisy_sample            draws of a layer behind noise, and queries at other draws
    decoder_candidates      the decoders that compete at a layer, and the queries that choose one
    risk_shares             how the risk of an interval is divided between own ends and ends for other layers
    width_causes            the causes of the width of an interval
    decoder_bound           the lower bound of an information, upper bound of an entropy
    two_sided_estimate      point estimate and interval between the two bounds
    first_layer             all quantities of a layer behind no noise
    layer_behind_noise      all quantities of any other layer
    noise_entropies         the entropy h(T|S) of a layer with DropoutNoise behind noise
    known_network/          all quantities of a layer behind noise, from the network itself
    known_layer             layers that are measured with the network itself
    best_ends               the better ends of two estimates
    layer_measurement       all quantities of one layer from the samples of one round
    round_outlook           draws and queries of a round, and the expected course of further rounds
    layer_rounds            the rounds of one layer with a tolerance
    round_schedule          which layer has the next round
    data_processing         the ends that layers of a chain take over from one another
    audits                  notes on saturation and on estimates that theory rules out
    layer_rows              the rows of a table from the measurements of a layer
    network_information     layer_information
    provenance              hashes of the network and the data, for tables and for the files of a monitor
    all_layers              measure_layers: the layers in common passes and in rounds
    layer_arrays            arrays by layer, for information and sigma_profile
    recorded_signals        information, of signals that another program recorded
    signal_rounds           the rounds of such signals, with more queries until an interval is narrow
    slices/                 the frames of slices, and the mean over random slices
    between_layers/         information_between_layers
    sigma_profiles          sigma_profile
    sigma_profile_table     SigmaProfile, the result of sigma_profile
    known_activations       the activations of a network for sigma_profile
    suggested_sigma         suggest_sigma

`layer_information` makes a `Problem` and `MeasurementSettings`. `measure_layers` samples all layers in common passes;
where their signals exceed the budget, the layers of a group have common passes. Then each sample behind noise is split
into queries and draws, and every quantity is bounded. With a tolerance, layers are sampled again, one after the other,
until their intervals are narrow or a limit is reached. Layers of a chain take over one another's ends. Audits add the
notes.
"""

from layerbits.estimators.all_layers import measure_layers
from layerbits.estimators.between_layers import information_between_layers
from layerbits.estimators.input_decoders import InputDecoder, decoder_descriptions
from layerbits.estimators.network_decoder import NetworkDecoder
from layerbits.estimators.network_information import layer_information
from layerbits.estimators.problem import Problem
from layerbits.estimators.provenance import (
    data_digest,
    environment_of,
    labels_digest,
    network_digest,
    noise_description,
    provenance_of_table,
)
from layerbits.estimators.recorded_signals import information
from layerbits.estimators.settings import MeasurementSettings
from layerbits.estimators.sigma_profile_table import SigmaProfile, SigmaRow
from layerbits.estimators.sigma_profiles import sigma_profile
from layerbits.estimators.suggested_sigma import suggest_sigma

__all__ = [
    "InputDecoder",
    "MeasurementSettings",
    "NetworkDecoder",
    "Problem",
    "SigmaProfile",
    "SigmaRow",
    "data_digest",
    "decoder_descriptions",
    "environment_of",
    "information",
    "information_between_layers",
    "labels_digest",
    "layer_information",
    "measure_layers",
    "network_digest",
    "noise_description",
    "provenance_of_table",
    "sigma_profile",
    "suggest_sigma",
]
