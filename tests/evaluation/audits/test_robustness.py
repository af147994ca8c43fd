"""Probes trained on intact rows, tested on rows whose metadata are missing or wrong."""

import numpy as np
import pandas as pd
import pytest
import torch

from slimp_pipeline.cohorts.spec import FieldSpec
from slimp_pipeline.evaluation.audits import changed_metadata, robustness
from slimp_pipeline.evaluation.audits.perturbation import Condition
from slimp_pipeline.evaluation.audits.robustness import ROBUSTNESS_COLUMNS, measure_robustness
from slimp_pipeline.evaluation.features.embed import initial
from slimp_pipeline.evaluation.measures.measure import measure
from slimp_pipeline.evaluation.protocols import scorers
from slimp_pipeline.evaluation.protocols.run import predict
from slimp_pipeline.models.checkpoint import Checkpoint
from slimp_pipeline.models.pretrained import PretrainedSLIMP
from slimp_pipeline.models.slimp import SLIMP
from slimp_pipeline.parameters import (
    EvaluationParams,
    ImageEncoderParams,
    LossParams,
    MetadataEncoderParams,
    ModelParams,
    ProbeParams,
    RobustnessParams,
)
from slimp_pipeline.tables.encoding import Encoding, LevelEncoding

FIELDS = {
    "age_years": FieldSpec(kind="numeric", level="patient", column="age"),
    "region": FieldSpec(kind="categorical", level="lesion", column="region"),
}
SETTINGS = EvaluationParams(
    device="cpu",
    num_resamples=10,
    probe=ProbeParams(strengths=[1.0]),
    robustness=RobustnessParams(shares=[0.0, 0.5], num_draws=1),
)
FIGURES = ["value", "ci_low", "ci_high"]
METADATA = ("metadata_linear", "metadata")


def encoder(encoding, seed=0):
    arguments = {"patch_size": 8, "embed_dim": 16, "depth": 1, "num_heads": 2}
    image = ImageEncoderParams(name="vit_tiny_patch16_224", image_size=16, arguments=arguments)
    model = ModelParams(image_encoder=image, metadata_encoder=MetadataEncoderParams(dim=8), projection_dim=8)
    torch.manual_seed(seed)
    state = SLIMP(model, LossParams(), encoding).state_dict()
    return Checkpoint(state, model, LossParams(), encoding, {"training": {"seed": 5}})


def embed(cohort, checkpoint):
    """Embed metadata of the cohort's rows with a pre-trained encoder and what it started from; images stay noise."""
    image_ND = cohort.embeddings["random_init.all.image"]
    cohort.embeddings = {}
    for method, own in (("slimp", checkpoint), ("random_init", initial(checkpoint, random_image_encoder=True))):
        metadata = PretrainedSLIMP(own)
        cohort.embeddings |= {
            f"{method}.all.image": image_ND,
            f"{method}.all.lesion": metadata.encode_metadata(cohort.lesions),
            f"{method}.all.patient": metadata.encode_patients(cohort.lesions),
        }
    return cohort


def measured(cohort, checkpoint, settings=SETTINGS, fields=FIELDS):
    encoders = {"slimp": {"all": checkpoint}}
    return measure_robustness(cohort.target(encoders=encoders, fields=fields), settings)


def inform(cohort):
    """Let a field of the lesion level tell the classes apart."""
    cohort.lesions["region"] = cohort.lesions["diagnosis"].map({"BCC": "face", "MEL": "arm", "NEV": None})
    cohort.lesions["region"] = cohort.lesions["region"].fillna("leg")
    level = cohort.encodings["fold_0"].lesion.fields["region"].model_copy(update={"categories": ["arm", "face", "leg"]})
    encoding = cohort.encodings["fold_0"].model_copy(update={"lesion": LevelEncoding(fields={"region": level})})
    cohort.encodings = dict.fromkeys(cohort.encodings, encoding)
    return cohort


@pytest.fixture
def cohort(small_cohort):
    checkpoint = encoder(small_cohort.encodings["fold_0"])
    return embed(small_cohort, checkpoint), checkpoint


def test_the_table_has_a_row_for_every_method_condition_and_metric(cohort):
    settings = SETTINGS.model_copy(update={"robustness": RobustnessParams(shares=[0.0, 0.1, 0.5], num_draws=2)})
    table = measured(*cohort, settings)
    assert list(table) == [
        "cohort",
        "method",
        "features",
        "kind",
        "share",
        "metric",
        "value",
        "ci_low",
        "ci_high",
        "num_test_patients",
    ]
    assert set(table["cohort"]) == {"small"} and set(table["num_test_patients"]) == {54}
    assert set(zip(table["method"], table["features"], strict=True)) == {
        ("slimp", "image+lesion+patient"),
        ("random_init", "image+lesion+patient"),
        METADATA,
    }
    conditions = {("intact", 0.0), ("no patient level", 1.0), ("no lesion level", 1.0)}
    conditions |= {(kind, share) for kind in ("dropped", "corrupted") for share in (0.1, 0.5)}
    assert set(zip(table["kind"], table["share"], strict=True)) == conditions
    assert not table.duplicated(["method", "kind", "share", "metric"]).any()
    assert len(table) == 3 * len(conditions) * table["metric"].nunique()
    assert table["value"].notna().all()


def test_on_intact_rows_it_is_the_plain_probe_with_its_interval(cohort, monkeypatch):
    small, checkpoint = cohort
    monkeypatch.setattr(scorers, "gbdt_scores", lambda x, y, p, train, test, k, s: np.full((test.sum(), k), 1 / k))
    chosen = {"protocols": ["linear_probe", "baselines", "robustness"], "features": ["image+lesion+patient"]}
    settings = SETTINGS.model_copy(update=chosen | {"probe": ProbeParams(strengths=[0.1, 10.0], num_inner_folds=2)})
    predictions = predict(small.target(), settings)
    plain, _ = measure("small", predictions, settings)
    plain = plain[(plain["draw"] == "all") & plain["protocol"].isin(["linear_probe", "baseline"])]
    plain = plain.set_index(["method", "features", "metric"])[[*FIGURES, "num_test_patients"]]
    intact = measured(small, checkpoint, settings).query("kind == 'intact'")
    intact = intact.set_index(["method", "features", "metric"])[[*FIGURES, "num_test_patients"]]
    assert len(intact) == 27
    pd.testing.assert_frame_equal(intact, plain.loc[intact.index], rtol=1e-9)


def test_losing_metadata_that_never_told_rows_apart_changes_nothing(small_cohort):
    small_cohort.lesions[["age_years", "region"]] = [50.0, "arm"]
    checkpoint = encoder(small_cohort.encodings["fold_0"])
    table = measured(embed(small_cohort, checkpoint), checkpoint)
    intact = table[table["kind"] == "intact"].set_index(["method", "metric"])[FIGURES]
    for _, rows in table.groupby(["kind", "share"]):
        pd.testing.assert_frame_equal(rows.set_index(["method", "metric"])[FIGURES], intact)
    auroc = table[(table["method"] == "metadata_linear") & (table["metric"] == "macro_auroc")]
    assert (auroc["value"] == 0.5).all()


def test_wrong_metadata_are_worse_than_none_where_they_tell_the_classes(small_cohort):
    small = inform(small_cohort)
    checkpoint = encoder(small.encodings["fold_0"])
    table = measured(embed(small, checkpoint), checkpoint)
    auroc = table[table["metric"] == "macro_auroc"].pivot_table(index="method", columns="kind", values="value")
    assert auroc.loc["metadata_linear", "intact"] == 1
    for method in ("metadata_linear", "slimp", "random_init"):
        own = auroc.loc[method]
        assert own["intact"] > own["dropped"] > own["corrupted"] > 0.6, method
        assert own["no lesion level"] < own["corrupted"] and own["no patient level"] > 0.95, method


def test_values_are_means_over_draws(cohort, monkeypatch):
    small, checkpoint = cohort
    settings = SETTINGS.model_copy(update={"robustness": RobustnessParams(shares=[0.5], num_draws=2)})
    place = ["method", "metric"]

    def dropped(draws):
        chosen = [Condition("intact", 0.0, 0), *(Condition("dropped", 0.5, draw) for draw in draws)]
        monkeypatch.setattr(robustness, "conditions", lambda *_: chosen)
        return measured(small, checkpoint, settings).query("kind == 'dropped'").set_index(place)["value"]

    plain = measured(small, checkpoint, settings).query("kind == 'dropped'").set_index(place)["value"]
    first, second = dropped([0]), dropped([1])
    assert (first != second).any()
    pd.testing.assert_series_equal(plain, (first + second) / 2)


def test_only_test_metadata_change_and_images_never(cohort):
    small, checkpoint = cohort
    without_image = {name: values for name, values in small.embeddings.items() if not name.endswith("image")}
    spoilt = without_image | dict.fromkeys(["slimp.all.image", "random_init.all.image"], np.ones((120, 3)))
    small.embeddings = spoilt
    table = measured(small, checkpoint)
    gone = table[table["kind"].str.startswith("no ") & (table["metric"] == "macro_auroc")]
    assert gone["value"].between(0.3, 0.7).all()  # noise alone
    spoilt["slimp.all.image"] = np.eye(3)[pd.Categorical(small.lesions["diagnosis"]).codes]
    table = measured(small, checkpoint).query("method == 'slimp' and metric == 'macro_auroc'")
    assert (table["value"] > 0.9).all()  # the image tells, whatever happens to metadata


@pytest.mark.parametrize("starts", [["random_init"], ["initial_weights", "random_init"]])
def test_beside_the_encoders_stands_the_model_that_they_started_from(cohort, monkeypatch, starts):
    small, checkpoint = cohort
    for name in ("image", "lesion", "patient"):
        for start in starts:
            small.embeddings[f"{start}.all.{name}"] = small.embeddings[f"random_init.all.{name}"]
    if len(starts) == 2:  # as embeddings have them: first weights before random ones
        random = {name: small.embeddings.pop(name) for name in list(small.embeddings) if name.startswith("random_init")}
        small.embeddings |= random
    asked = []
    monkeypatch.setattr(changed_metadata, "initial", lambda own, **options: asked.append((own, options)) or checkpoint)
    table = measured(small, checkpoint)
    assert set(table["method"]) == {"slimp", starts[0], "metadata_linear"}
    assert asked == [(checkpoint, {"random_image_encoder": starts == ["random_init"]})] * 4


def test_of_one_level_the_other_is_not_missed(small_cohort):
    small_cohort.lesions = small_cohort.lesions.drop(columns="age_years")
    full = small_cohort.encodings["fold_0"]
    encoding = full.model_copy(update={"patient": LevelEncoding(fields={})})
    small_cohort.encodings = dict.fromkeys(small_cohort.encodings, encoding)
    checkpoint = encoder(full)
    embed(small_cohort, checkpoint)
    for method in ("slimp", "random_init"):
        del small_cohort.embeddings[f"{method}.all.patient"]
    table = measured(small_cohort, checkpoint, fields={"region": FIELDS["region"]})
    features = table.drop_duplicates("method").set_index("method")["features"].to_dict()
    assert features == {"slimp": "image+lesion", "random_init": "image+lesion", "metadata_linear": "metadata"}
    for _, own in table.groupby("method"):
        values = own.set_index(["kind", "metric"])[FIGURES]
        pd.testing.assert_frame_equal(values.loc["no patient level"], values.loc["intact"])


def test_a_cohort_of_images_alone_has_an_empty_table(small_cohort):
    checkpoint = encoder(small_cohort.encodings["fold_0"])
    empty = LevelEncoding(fields={})
    small_cohort.encodings = dict.fromkeys(
        small_cohort.encodings, Encoding(lesion=empty, patient=empty, num_patients=36)
    )
    small_cohort.lesions = small_cohort.lesions.drop(columns=["age_years", "region"])
    small_cohort.embeddings = {name: values for name, values in small_cohort.embeddings.items() if "image" in name}
    table = measured(small_cohort, checkpoint, fields={})
    assert table.empty and list(table) == robustness.ROBUSTNESS_COLUMNS


def test_robustness_that_is_not_asked_for_is_not_measured(cohort):
    table = measured(*cohort, SETTINGS.model_copy(update={"protocols": ["linear_probe"]}))
    assert list(table) == ROBUSTNESS_COLUMNS and table.empty
