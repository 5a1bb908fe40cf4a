"""Pushes an exported folder to the Hugging Face Hub as a data set."""

import re
from pathlib import Path

from agentkd.errors import HubError


def check_target(repo: str) -> None:
    """Raise `HubError` if `repo` is no name of a data set, or this machine has no token."""
    from huggingface_hub import get_token

    if not re.fullmatch(r"[\w.-]+(?:/[\w.-]+)?", repo):
        raise HubError(f"'{repo}' is no name of a data set, as USER/NAME is")
    if not get_token():
        raise HubError(
            "there is no Hugging Face token on this machine; log in with: hf auth login\n"
            "(or set HF_TOKEN), or export without --push-to-hub"
        )


def push(folder: Path, repo: str) -> str:
    """Upload a folder as one commit and return the address of its page.

    A data set that does not exist yet is made, private; one that exists keeps its visibility.
    Raises `HubError`; the folder stays as it is.
    """
    from httpx import HTTPError
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    api = HfApi()
    try:
        made = api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(
            folder_path=folder,
            repo_id=made.repo_id,
            repo_type="dataset",
            commit_message="Export by agentkd",
        )
    except (HfHubHTTPError, HTTPError, OSError) as error:
        reason = str(error).strip() or type(error).__name__
        raise HubError(
            f"the Hub did not take '{repo}': {reason}\n"
            f"The export is whole in '{folder}'; push it later with: "
            f"hf upload {repo} {folder} . --repo-type dataset"
        ) from error
    return str(made)
