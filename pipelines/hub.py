"""Putting a folder on the Hugging Face Hub: one commit a run, tags, and what was cut off goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tenacity

MOST_FILES = 10_000
"""In one folder of a repository; the Hub advises against more, and refuses commits of some tens of thousands."""
_KEPT = {".gitattributes"}  # the Hub's own
_ATTEMPTS = 4


def files_of(folder: Path) -> list[Path]:
    """What would be uploaded, in order; hidden files are not."""
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    ]


def check_size(folder: Path) -> None:
    """Refuse what the Hub would.

    Raises:
        ValueError: a folder has too many files.
    """
    for inner in {path.parent for path in files_of(folder)}:
        count = sum(1 for path in inner.iterdir() if path.is_file())
        if count > MOST_FILES:
            raise ValueError(f"{inner.name}/ has {count} files, the Hub takes {MOST_FILES} in a folder: use --embed-videos")


def upload(folder: Path, repo: str, *, private: bool, message: str, tags: Sequence[str], api: Any = None) -> str:
    """Make the repository hold just what is in ``folder``, as one commit, and move the tags to it; returns the commit.

    Large files are stored under their hash before the commit: a call that was cut off, repeated, sends only what is missing, and
    a call without anything new makes no commit. Transient errors are tried again.

    Args:
        folder: to upload.
        repo: ``user/name``.
        private: visibility of a new repository, and what an old one must have.
        message: of the commit.
        tags: that name the commit from now on.
        api: a ``huggingface_hub.HfApi``; by default with the token of the environment or of ``hf auth login``.

    Raises:
        ValueError: the repository exists with the other visibility.
        huggingface_hub.errors.HfHubHTTPError: the Hub refuses.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    api = api or HfApi()
    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=20),
        retry=tenacity.retry_if_exception(_transient),
        reraise=True,
    )

    def call(function: Any, *arguments: Any, **options: Any) -> Any:
        return retrying(function, *arguments, repo_type="dataset", **options)

    call(api.create_repo, repo, private=private, exist_ok=True)
    if call(api.repo_info, repo).private != private:
        have, want, how = ("public", "private", "--public") if private else ("private", "public", "no --public")
        raise ValueError(f"{repo} exists and is {have}, not {want}: change it on the Hub, or publish with {how}")
    present = set(call(api.list_repo_files, repo))
    paths = {path.relative_to(folder).as_posix(): path for path in files_of(folder)}

    def commit(**options: Any) -> Any:  # operations can be used once
        adding = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(path)) for name, path in paths.items()]
        removing = [CommitOperationDelete(path_in_repo=name) for name in sorted(present - set(paths) - _KEPT)]
        return api.create_commit(repo, [*adding, *removing], commit_message=message, **options)

    oid = str(call(commit).oid)
    for tag in tags:
        found = {ref.name: ref.target_commit for ref in call(api.list_repo_refs, repo).tags}
        if found.get(tag) == oid:
            continue
        if tag in found:
            call(api.delete_tag, repo, tag=tag)
        call(api.create_tag, repo, tag=tag, revision=oid, tag_message=message, exist_ok=True)
    return oid


def _transient(error: BaseException) -> bool:
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, HfHubHTTPError):
        return error.response is not None and (error.response.status_code >= 500 or error.response.status_code == 429)
    return (
        isinstance(error, (ConnectionError, TimeoutError))
        and not isinstance(error, OfflineModeIsEnabled)
        or (type(error).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore") and "Error" in type(error).__name__)
    )
