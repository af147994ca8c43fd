"""Wiring of `embed`."""

from typing import Any

from kedro.pipeline import Node, Pipeline

from slimp_pipeline.pipelines.embed.nodes import embed, look, pool, submit, summarise, tell

_SETTINGS = "params:embedding"


def create_pipeline(**kwargs: Any) -> Pipeline:
    """A folder and an exported model -> a row a picture, a row a lesion, a challenge's file, a ledger."""
    return Pipeline(
        [
            Node(look, inputs=[_SETTINGS, "exported_model"], outputs="embedding_request", name="look_through"),
            Node(
                embed, inputs=["embedding_request", _SETTINGS, "params:ingest", "params:running_root"],
                outputs="embedded_shards", name="embed_folder",
            ),
            Node(
                tell, inputs=["embedding_request", "embedded_shards", _SETTINGS],
                outputs=["picture_embeddings", "picture_ledger"], name="tell_of_pictures",
            ),
            Node(pool, inputs="picture_embeddings", outputs="lesion_embeddings", name="pool_lesions"),
            Node(
                submit, inputs=["embedding_request", "picture_embeddings", "lesion_embeddings"],
                outputs="challenge_files", name="write_challenge_file",
            ),
            Node(
                summarise,
                inputs=[
                    "embedding_request", "picture_ledger", "picture_embeddings", "lesion_embeddings",
                    "challenge_files", _SETTINGS,
                ],
                outputs="embedding_summary", name="summarise_embedding",
            ),
        ]
    )  # fmt: skip
