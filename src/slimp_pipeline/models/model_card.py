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
    fields = [*encoding.lesion.fields, *encoding.patient.fields]
    cohort, partition, fingerprint, images, patients = (
        facts.get(name, "?")
        for name in ("cohort", "partition", "cohort_fingerprint", "num_training_images", "num_training_patients")
    )
    labels = "malignant lesions were drawn first (positive sampling)" if facts.get("positive_sampling") else "none"
    return f"""---
library_name: timm
license: other
tags: [dermatology, skin-lesion, contrastive-learning]
---
# {encoder.name}, pre-trained by nested image-metadata contrast (SLIMP)

- Trained on: {images} images of {patients} patients of `{cohort}`, partition `{partition}`
  (fingerprint {fingerprint}).
- Length of the training: {facts.get("length", "?")}.
- Image encoder: `{encoder.name}`, {encoder.image_size} px, arguments {encoder.arguments or "none"}, first weights
  `{Path(encoder.weights).name}`.
- Metadata fields: {", ".join(fields)}.
- Labels used in training: {labels}.
- Weights follow the licence of the cohort and of the first weights.

```python
import slimp_pipeline
encoder = slimp_pipeline.load("path/of/this/folder")
embedding = encoder.encode_images(["lesion.jpg"])
```

Research use only; no medical device. Method: SLIMP, arXiv:2505.23709.
"""
