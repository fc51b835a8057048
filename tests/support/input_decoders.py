"""Decoders of a caller: a valid one, and decoders that break a rule of `InputDecoder`."""

import torch


class IsotropicGaussians:
    """A Gaussian for each input, with the mean of its draws and one variance for all inputs and axes."""

    def fit(self, signals, inputs):
        counts = inputs.bincount()
        self.means = torch.zeros(len(counts), signals.shape[1], dtype=signals.dtype)
        self.means = self.means.index_add(0, inputs, signals) / counts[:, None]
        spread = (signals - self.means[inputs]).square().sum() / (len(signals) - len(counts)) / signals.shape[1]
        self.variance = 1 + spread * (1 + 1 / counts[0])

    def scores(self, queries):
        deviations = queries[:, None] - self.means
        return -deviations.square().sum(2) / 2 / self.variance


class FitFails(IsotropicGaussians):
    def fit(self, signals, inputs):
        raise KeyError("no such layer")


class ScoresFail(IsotropicGaussians):
    def scores(self, queries):
        raise RuntimeError("shapes do not match")


class NotCopied(IsotropicGaussians):
    def __deepcopy__(self, memo):
        raise TypeError("cannot copy this")


class ScoreNan(IsotropicGaussians):
    def scores(self, queries):
        scores = super().scores(queries)
        scores[-1, 0] = torch.nan
        return scores


class ExcludeEveryInput(IsotropicGaussians):
    def scores(self, queries):
        return super().scores(queries) - torch.inf


class ScoreFewerInputs(IsotropicGaussians):
    def scores(self, queries):
        return super().scores(queries)[:, 1:]


class ScoreArrays(IsotropicGaussians):
    def scores(self, queries):
        return super().scores(queries).numpy()


class ScoreOtherDtype(IsotropicGaussians):
    def scores(self, queries):
        return super().scores(queries).half()


class ScoreOtherDevice(IsotropicGaussians):
    def scores(self, queries):
        return super().scores(queries).to("meta")


class ScoreWithGradients(IsotropicGaussians):
    def scores(self, queries):
        self.means.requires_grad_()
        return super().scores(queries)


class SoftmaxOverQueries(IsotropicGaussians):
    def scores(self, queries):
        return super().scores(queries).log_softmax(0)


class BatchNormInTraining(IsotropicGaussians):
    """A batch of one query raises no exception, because the variance is the biased one."""

    def scores(self, queries):
        return super().scores((queries - queries.mean(0)) / (1e-5 + queries.var(0, correction=0)).sqrt())


class AdaptToQueries(IsotropicGaussians):
    """Every call of `scores` moves the means towards the queries."""

    def scores(self, queries):
        self.means = self.means + 0.5 * (queries.mean(0) - self.means)
        return super().scores(queries)


class CoolDown(IsotropicGaussians):
    """Every call of `scores` halves the scores of later calls."""

    factor = 1.0

    def scores(self, queries):
        self.factor /= 2
        return self.factor * super().scores(queries)


class RandomScores(IsotropicGaussians):
    def scores(self, queries):
        scores = super().scores(queries)
        return scores + torch.randn_like(scores)


BROKEN = {
    FitFails: "fit raised KeyError: 'no such layer'",
    ScoresFail: "scores raised RuntimeError: shapes do not match",
    NotCopied: "copy.deepcopy raised TypeError: cannot copy this",
    ScoreNan: "NaN",
    ExcludeEveryInput: "exclude every input",
    ScoreFewerInputs: "shape",
    ScoreArrays: "ndarray",
    ScoreOtherDtype: "float16",
    ScoreOtherDevice: "meta",
    ScoreWithGradients: "gradients",
    SoftmaxOverQueries: "alone",
    BatchNormInTraining: "alone",
    AdaptToQueries: "alone",
    CoolDown: "alone",
    RandomScores: "alone",
}
