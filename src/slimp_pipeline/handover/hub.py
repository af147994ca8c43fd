"""Push an exported model to the Hugging Face hub, or to what speaks its API (`HF_ENDPOINT`)."""

import os
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HTTPError

from slimp_pipeline.handover.exported import EXPORT_FILES, files_of, licence_of

TOKEN = "HF_TOKEN"


def push_to_hub(folder: Path, repo: str, *, private: bool, with_known: bool) -> str:
    """Push an export folder's files in one commit, which takes away what an earlier export left and this one lacks.

    So the repository's newest state is of one encoder; files that no export writes stay.

    Args:
        folder: What `kedro run --pipeline=export` left.
        repo: `user/name`; made if it isn't there.
        private: Of a repository that is made.
        with_known: Also known lesions, which are embeddings of patients' pictures.

    Returns:
        Address of the repository.

    Raises:
        PermissionError: If there is no token, or it doesn't allow that.
        ConnectionError: If the hub can't be reached, or fails.
    """
    token = os.environ.get(TOKEN)
    if not token:
        raise PermissionError(f"export.hub: to push to {repo} a token is needed. Set the environment variable {TOKEN}")
    api = HfApi(token=token)
    names = [path.name for path in files_of(folder, with_known=with_known)]
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            folder_path=folder,
            allow_patterns=names,
            delete_patterns=sorted(EXPORT_FILES.difference(names)),
            commit_message=f"Encoder of slimp-pipeline; licence of its data: {licence_of(folder)}",
        )
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise PermissionError(
                f"export.hub: {api.endpoint} refuses {repo} ({status}): has {TOKEN} the right to write?"
            ) from error
        raise ConnectionError(f"export.hub: {api.endpoint} answered {status} to a push to {repo}. Try again") from error
    except (HTTPError, OSError) as error:
        raise ConnectionError(f"export.hub: {api.endpoint} can't be reached: {error}") from error
    return f"{api.endpoint}/{repo}"
