"""The share of an embedding that nuisance fields explain."""

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from slimp_pipeline.losses.nuisance import explained_share, nuisance_columns
from slimp_pipeline.models.tabular import known_fields
from slimp_pipeline.tables.encoding import (
    MISSING,
    UNSEEN,
    CategoricalEncoding,
    CheckboxEncoding,
    LevelEncoding,
    NumericEncoding,
)


def by_loop(embedding, values, known, tiny=1e-6):
    """Column by column, dimension by dimension; where a variance is tiny, little or nothing is explained."""
    shares = []
    for value, is_known in zip(values.T, known.T, strict=True):
        if not is_known.any() or np.var(value[is_known]) <= tiny:
            continue
        covariances = [np.cov(dim, value[is_known], ddof=0) for dim in embedding[is_known].T]
        shares.append(np.mean([both**2 / (max(own, tiny) * column) for (own, both), (_, column) in covariances]))
    return np.mean(shares) if shares else 0.0


@given(seed=st.integers(0, 99), num_rows=st.integers(3, 30), num_columns=st.integers(1, 5))
@example(seed=76, num_rows=3, num_columns=3)  # two known rows that are nearly alike
def test_it_is_the_mean_squared_correlation_over_known_rows(seed, num_rows, num_columns):
    rng = np.random.default_rng(seed)
    embedding, values = rng.normal(3, 2, (num_rows, 4)), rng.normal(size=(num_rows, num_columns))
    known = rng.random((num_rows, num_columns)) < 0.7
    values[:, 0] = rng.integers(0, 2, num_rows)
    found = explained_share(*(torch.from_numpy(part) for part in (embedding, values, known)))
    assert found.dtype == torch.float32 and 0 <= float(found) <= 1
    assert float(found) == pytest.approx(by_loop(embedding, values, known), abs=1e-5)


def test_an_embedding_that_is_the_column_is_explained_wholly_and_one_that_is_constant_not_at_all():
    column = torch.tensor([[0.0], [1.0], [0.0], [1.0]])
    known = torch.ones(4, 1, dtype=torch.bool)
    assert float(explained_share(torch.cat([column, -3 * column + 5], dim=1), column, known)) == pytest.approx(
        1, abs=1e-4
    )
    assert float(explained_share(torch.ones(4, 2), column, known)) == 0


def test_what_is_not_known_and_columns_of_one_value_do_not_count():
    embedding, column = torch.tensor([[0.0], [1.0], [0.0], [9.0]]), torch.tensor([[0.0], [1.0], [0.0], [float("nan")]])
    known = torch.tensor([[True], [True], [True], [False]])
    assert float(explained_share(embedding, column, known)) == pytest.approx(1, abs=1e-4)
    both = torch.cat([column, torch.ones(4, 1)], dim=1)
    assert float(explained_share(embedding, both, torch.cat([known, known], dim=1))) == pytest.approx(1, abs=1e-4)
    assert float(explained_share(embedding, torch.ones(4, 1), known)) == 0
    assert float(explained_share(embedding, torch.empty(4, 0), torch.empty(4, 0, dtype=torch.bool))) == 0


def test_to_lower_it_takes_the_column_from_a_linear_probe_and_leaves_the_rest():
    rng = np.random.default_rng(0)
    wanted, nuisance = rng.integers(0, 2, (2, 400))
    signal = np.stack([wanted, nuisance], axis=1) @ rng.normal(size=(2, 6)) + rng.normal(0, 0.3, (400, 6))
    signal = torch.from_numpy(signal.astype("float32"))
    target, column = torch.from_numpy(wanted.astype("float32")), torch.from_numpy(nuisance.astype("float32"))[:, None]
    known = torch.ones(400, 1, dtype=torch.bool)

    def trained(weight):
        torch.manual_seed(0)
        encoder, head = torch.nn.Linear(6, 6), torch.nn.Linear(6, 1)
        optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=0.02)
        for _ in range(400):
            optimizer.zero_grad()
            embedding = encoder(signal)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(head(embedding)[:, 0], target)
            (loss + weight * explained_share(embedding, column, known)).backward()
            optimizer.step()
        embedding = encoder(signal).detach().numpy()
        return [
            roc_auc_score(
                label[200:], LogisticRegression().fit(embedding[:200], label[:200]).decision_function(embedding[200:])
            )
            for label in (wanted, nuisance)
        ]

    (wanted_before, nuisance_before), (wanted_after, nuisance_after) = trained(0.0), trained(30.0)
    assert nuisance_before > 0.95 and nuisance_after < 0.7
    assert wanted_before > 0.95 and wanted_after > 0.9


def test_fields_become_columns_with_what_is_known_of_them():
    level = LevelEncoding(
        fields={
            "exposure": NumericEncoding(mean=0, std=1, minimum=None, maximum=None),
            "device": CategoricalEncoding(categories=["a", "b"]),
            "marks": CheckboxEncoding(options=["pen", "ruler"]),
        }
    )
    fields = {
        "numeric": torch.tensor([[0.5], [float("nan")], [1.0], [2.0]]),
        "categorical": torch.tensor([[2], [3], [MISSING], [UNSEEN]]),
        "checkbox": torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [1.0, 1.0]]),
        "checkbox_known": torch.tensor([[True], [True], [False], [True]]),
    }
    values, known = nuisance_columns(level, fields, known_fields(fields))
    assert values.tolist() == [[0.5, 1, 0, 1, 0], [0, 0, 1, 0, 1], [1, 0, 0, 0, 0], [2, 0, 0, 1, 1]]
    assert known.tolist() == [
        [True, True, True, True, True],
        [False, True, True, True, True],
        [True, False, False, False, False],
        [True, False, False, True, True],
    ]
    empty = LevelEncoding(fields={})
    nothing = {"numeric": torch.empty(4, 0), "categorical": torch.empty(4, 0, dtype=torch.long)}
    nothing |= {"checkbox": torch.empty(4, 0), "checkbox_known": torch.empty(4, 0, dtype=torch.bool)}
    assert nuisance_columns(empty, nothing, known_fields(nothing))[0].shape == (4, 0)
