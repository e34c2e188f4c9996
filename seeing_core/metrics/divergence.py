"""Measures on a classifier's answers: do two sounds hold the same things, and is each clear and the set varied?"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError

EPSILON = 1e-6  # added to probabilities before the logarithm, as in audioldm_eval


def mean_kl(generated: Tensor, reference: Tensor) -> float:
    """MKL: the mean of KL(reference_i || generated_i), in nats, of class logits (N, K) each, row i with row i.

    Softmax classes (Iashin & Rahtu, "SpecVQGAN", BMVC 2021; the KL of AudioGen and AudioLDM's tables). 0 is best.
    """
    _check_pair(generated, reference)
    p, q = reference.double().softmax(1), generated.double().softmax(1)
    return float((torch.special.xlogy(p, p) - p * (q + EPSILON).log()).sum(1).mean())


def mean_kl_sigmoid(generated: Tensor, reference: Tensor) -> float:
    """The same for classes that do not exclude each other: sigmoids, summed over classes (audioldm_eval's form)."""
    _check_pair(generated, reference)
    p, q = reference.double().sigmoid(), generated.double().sigmoid()
    return float((torch.special.xlogy(p, p) - p * (q + EPSILON).log()).sum(1).mean())


def inception_score(logits: Tensor) -> float:
    """ISc: exp of the mean KL(p(class | sample) || p(class)), of class logits (N, K); from 1 (all alike) to K.

    Salimans et al., NeurIPS 2016, over the whole set at once. It needs no reference, and does not notice sounds that
    are clear but wrong.
    """
    if logits.ndim != 2 or 0 in logits.shape:
        raise InputError("class logits", f"a tensor of shape {tuple(logits.shape)}", "(N, K)")
    p = logits.double().softmax(1)
    mean = p.mean(0, keepdim=True).expand_as(p)
    return float((torch.special.xlogy(p, p) - torch.special.xlogy(p, mean)).sum(1).mean().exp())


def _check_pair(generated: Tensor, reference: Tensor) -> None:
    if generated.ndim != 2 or generated.shape != reference.shape or 0 in generated.shape:
        shapes = f"tensors of shapes {tuple(generated.shape)} and {tuple(reference.shape)}"
        raise InputError("class logits", shapes, "two of shape (N, K), row i of one with row i of the other")
