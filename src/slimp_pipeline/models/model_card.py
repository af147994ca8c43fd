"""The model card of a checkpoint: what it was trained on, how, and what it may be used for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slimp_pipeline.parameters import ImageEncoderParams
from slimp_pipeline.tables.encoding import Encoding


def model_card(encoder: ImageEncoderParams, encoding: Encoding, facts: Mapping[str, Any]) -> str:
    """Write the card in Markdown.

    Args:
        encoder: Settings of the image encoder.
        encoding: Of the metadata.
        facts: Cohort, partition, numbers of images and patients, length of the training, whether labels were used.
    """
    fields = "; ".join(f"of the {name}: {', '.join(level.fields) or 'none'}" for name, level in encoding.levels.items())
    cohort, partition, fingerprint, images, patients = (
        facts.get(name, "?")
        for name in ("cohort", "partition", "cohort_fingerprint", "num_training_images", "num_training_patients")
    )
    labels = "malignant lesions were drawn first (positive sampling)" if facts.get("positive_sampling") else "none"
    licence = facts.get("licence", "?")
    several = "".join(
        f"\n  - `{name}`: {counts['num_images']} images of {counts['num_patients']} patients"
        for name, counts in facts.get("cohorts", {}).items()
    )
    strictest = " Of several, the strictest holds." if several else ""
    controls = {
        "every patient had another's metadata": facts.get("shuffled_metadata"),
        "the innermost level's fields stood for patients', and the other way round": encoding.swapped_levels,
    }
    control = "".join(f"\n- **A control**: {what}." for what, is_so in controls.items() if is_so)
    return f"""---
library_name: timm
license: other
license_name: see-below
tags: [dermatology, skin-lesion, contrastive-learning, slimp]
---
# {encoder.name}, pre-trained by nested image-metadata contrast (SLIMP)

An encoder of photographs of skin lesions, and of what is recorded beside them. Method: SLIMP, arXiv:2505.23709.

```python
import timm
backbone = timm.create_model("local-dir:path/of/this/folder", pretrained=True)

import slimp_pipeline
encoder = slimp_pipeline.load("path/of/this/folder")
embedding = encoder.encode_images(["lesion.jpg"])
```

## Data and training

- Trained on: {images} images of {patients} patients of `{cohort}`, partition `{partition}`
  (fingerprint {fingerprint}).{several}
- Length of the training: {facts.get("length", "?")}.
- Image encoder: `{encoder.name}`, {encoder.image_size} px, arguments {encoder.arguments or "none"}, first weights
  `{Path(encoder.weights).name}`.
- Metadata fields: {fields}.
- Labels used in training: {labels}.{control}

## Licence

Weights follow the licence of the cohort ({licence}) and of the first weights.{strictest}

## Intended use

Research: representations of lesions to learn from, to search and to compare. Pictures like those of the cohort, each of
one lesion in its middle.

## Limits

- It is no medical device. Nobody may be diagnosed or treated by what it says.
- It knows the cameras, sites, ages and skin tones of {"these cohorts" if several else "one cohort"}. On others it
  may do worse; measure it there.
- Metadata can be mistaken, and an embedding carries them on.
- An embedding may tell what its picture or metadata told, age or sex say. Treat embeddings of patients as data of
  patients.
"""
