"""Publish a run's dataset on the Hugging Face Hub."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from rich.console import Console

from curation.shards.export import read
from curation.shards.hub.card import LIMITS, citation, hub_card
from curation.shards.hub.croissant import croissant, validate
from curation.shards.hub.embed import embed
from curation.shards.hub.figures import counts, plot_accuracy, plot_balance
from pipelines import hub
from pipelines.files import write_json, write_text
from pipelines.masking import environment_secrets, masked, scrub
from schemas import run_folder
from schemas.publishing import SCHEMA_VERSION, TEMPLATE, Info

AUDIT_JSON, STAGED, INFO = "audit.json", "hub", "publish.yaml"
_USUAL = {
    ("cameras", "backend"): "classical", ("cameras", "features"): "classical", ("depth", "mono"): "none",
    ("objects", "backend"): "motion", ("objects", "points"): "flow", ("naming", "model"): "", ("rewrite", "by"): "nobody",
}  # fmt: skip
_EPILOG = f"""
examples:
  python -m pipelines.publish RUN --write-info                      make RUN/{INFO}, to be filled in
  python -m pipelines.publish RUN --repo me/name --dry-run          build and check RUN/{STAGED}/, send nothing
  python -m pipelines.publish RUN --repo me/name                    private; repeat it to go on after a cut-off
  python -m pipelines.publish RUN --repo me/name --embed-videos     videos inside Parquet, shown by the Hub's viewer

RUN/{INFO} holds what only you can say: licence, where the videos come from, people in them, who answers for it. Nothing is
published before it is complete. The card states the accuracy that pipelines.audit measured, with its date: on this run, or with
--audit FILE on rendered worlds that the same program went through. A run that failed its audit is not published.

The repository is private unless you say --public. Each run is one commit, tagged run-<id>; v{SCHEMA_VERSION} names the newest
of this schema. The token is that of HF_TOKEN or of `hf auth login`. The exit status is 1 when the Hub refused, 2 when nothing
could be sent.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.publish",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    out.add_argument("run", type=Path, metavar="RUN", help="folder that pipelines.build wrote")
    out.add_argument("--repo", metavar="USER/NAME", help="of the dataset on the Hub")
    out.add_argument("--info", type=Path, default=None, metavar="FILE", help=f"licence and provenance (default RUN/{INFO})")
    out.add_argument("--write-info", action="store_true", help="write an empty one, and stop")
    out.add_argument("--audit", type=Path, default=None, metavar="FILE", help="audit.json of another run, on worlds")
    out.add_argument("--despite-audit", action="store_true", help="publish although the audit failed; the card says so")
    out.add_argument("--embed-videos", action="store_true", help="put the videos into `clips`, not beside the tables")
    out.add_argument("--public", action="store_true", help="for everyone to see (default private)")
    out.add_argument("--dry-run", action="store_true", help="build and check everything, send nothing")
    return out


def read_info(path: Path) -> Info:
    """What the owner says.

    Raises:
        ValueError: it is missing, incomplete or malformed; the message names every field.
    """
    if not path.exists():
        raise ValueError(f"expected licence and provenance in {path}; write it with --write-info and fill it in")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"expected YAML in {path}: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"expected fields (license:, video_source:, ...) in {path}, got {type(values).__name__}")
    blank = [k for k, v in values.items() if v is None or (isinstance(v, str) and v.strip() in ("?", "TODO"))]
    try:
        info = Info.model_validate({key: value for key, value in values.items() if key not in blank})
    except ValidationError as error:
        wrong = [f"  {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ValueError("\n".join([f"{path} is not complete, nothing is published:", *wrong])) from error
    if info.license == "other" and not info.license_link:
        raise ValueError(f"{path}: `license: other` needs license_link, where its text stands")
    return info


def describe(run: Path, other_audit: Path | None, despite: bool) -> dict[str, Any]:
    """What the card says of the run and of its audit.

    Raises:
        ValueError: the run is not finished, its audit failed or is older than its data.
        FileNotFoundError: there is no run.json.
    """
    file = run / run_folder.RUN_JSON
    if not file.exists():
        raise FileNotFoundError(f"expected a finished run with {run_folder.RUN_JSON} in {run}, found none")
    report = json.loads(file.read_text(encoding="utf-8"))
    if report["status"] != "finished":
        raise ValueError(f"{run} is {report['status']}, not finished: run pipelines.build again first")
    own, blind = _audit(run / AUDIT_JSON, True), None
    if (run / AUDIT_JSON).exists():
        audit = json.loads((run / AUDIT_JSON).read_text(encoding="utf-8"))
        card = run / run_folder.PUBLISH / run_folder.CARD
        if card.exists() and card.stat().st_mtime > (run / AUDIT_JSON).stat().st_mtime:
            raise ValueError(f"{run / AUDIT_JSON} is older than the data: run pipelines.audit again")
        if audit.get("run_id") not in (None, report["run_id"]):
            found = f"speaks of run {audit['run_id']}, the data are of run {report['run_id']}"
            raise ValueError(f"{run / AUDIT_JSON} {found}: run pipelines.audit again")
        if audit.get("failures") and not despite:
            reasons = "\n".join(f"  {reason}" for reason in audit["failures"][:10])
            raise ValueError(f"the audit failed, nothing is published (--despite-audit does it all the same):\n{reasons}")
        blind = [row for rows in audit.get("blind", {}).values() for row in rows]
    relations = report["config"]["relations"]
    folder = run / run_folder.PUBLISH
    clips = list(read.rows(folder, "clips", ("clip_id", "assumed")))
    return {
        "run_id": report["run_id"],
        "seed": report["seed"],
        "k_sigma": relations["k_sigma"],
        "question_frames": report["config"]["video"]["question_frames"],
        "bench_share": report["config"]["shards"]["bench_share"],
        "date": report["started"][:10],
        "started": report["started"],
        "sources": report["sources"]["found"],
        "clips": len(clips),
        "planned": report["clips"]["planned"],
        "assumed": sum(bool(row["assumed"]) for row in clips),
        "revision": (report.get("git") or {}).get("revision"),
        "methods": methods(report["config"]),
        "audit": own or (_audit(other_audit, False) if other_audit else None),
        "blind": blind,
    }


def methods(config: Mapping[str, Any]) -> dict[str, str]:
    """Options that name a method, as far as it is another than the card's text speaks of."""
    found = {f"{section}.{name}": config.get(section, {}).get(name, usual) for (section, name), usual in _USUAL.items()}
    return {option: str(value) for option, value in found.items() if value != _USUAL[tuple(option.split("."))]}  # type: ignore[index]


def _audit(path: Path, own: bool) -> dict[str, Any] | None:
    """The part of an audit that speaks of truth; None where there is none."""
    if not path.exists():
        if own:
            return None
        raise FileNotFoundError(f"expected an audit.json at {path}")
    report = json.loads(path.read_text(encoding="utf-8"))
    questions = report.get("questions")
    if not questions or not questions["all"]["asked"]:
        if own:
            return None
        raise ValueError(f"{path} compares nothing with truth: make it with pipelines.audit --truth")
    when = datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC).date().isoformat()
    return {
        "own": own,
        "date": str(report.get("date") or when)[:10],
        "run_id": report.get("run_id"),
        "revision": report.get("revision"),
        "clips": report["clips_audited"],
        "questions": questions,
        "movers": report.get("movers"),
    }


def provenance(run: Path) -> dict[str, Any]:
    """What others may know of ``run.json``: no paths of this machine, no names of it, no secrets."""
    report = json.loads((run / run_folder.RUN_JSON).read_text(encoding="utf-8"))
    kept = ("run_id", "seed", "started", "seconds", "config", "git", "versions", "sources", "clips", "stages", "published")
    return _without_paths(masked({name: report[name] for name in kept if name in report}))


def _without_paths(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_paths(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    if isinstance(value, str) and (value.startswith(("/", "~", "file:")) or "://" in value):
        return f".../{value.rstrip('/').rsplit('/', 1)[-1].split('?')[0]}"
    return value


def stage(run: Path, target: Path, info: Info, about: Mapping[str, Any], repo: str, embedded: bool) -> list[str]:
    """Build the folder that is uploaded, anew; returns what Croissant's checker warns of.

    Raises:
        ValueError: Croissant is not valid.
        FileNotFoundError: a table or a video is not there.
    """
    folder = run / run_folder.PUBLISH
    if target.exists():
        shutil.rmtree(target)
    target.mkdir(parents=True)
    for path in hub.files_of(folder):
        name = path.relative_to(folder)
        if name.as_posix() == run_folder.CARD or (embedded and name.parts[0] in ("clips", run_folder.VIDEOS)):
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target / name)
        except OSError:  # another file system
            shutil.copyfile(path, target / name)
    found = counts(folder)
    if embedded:
        embed(folder, target / "clips")
    plots = {"balance": "assets/balance.png", "accuracy": "assets/accuracy.png"}
    (target / "assets").mkdir()
    plot_balance(found, target / plots["balance"])
    if about["audit"]:
        plot_accuracy(about["audit"]["questions"], target / plots["accuracy"])
    write_text(target / run_folder.CARD, hub_card(found, about, info, repo, embedded=embedded, plots=plots))
    write_json(target / "provenance.json", provenance(run))
    description = {
        "name": repo.split("/")[-1],
        "description": "Multiple-choice questions about the motion of camera and objects in stereo video, with the measurements "
        "(poses, tracks, facts with uncertainty) that the answers follow from.",
        "license": info.license_link or f"https://spdx.org/licenses/{info.license.upper()}.html",
        "url": f"https://huggingface.co/datasets/{repo}",
        "version": f"{SCHEMA_VERSION}.0",
        "cite_as": citation(info, repo, about["date"]),
        "published": about["date"],
        "creator": info.rights_holder,
        "source": info.video_source,
        "limitations": list(LIMITS),
        "personal_data": info.personal_data,
    }
    write_json(target / "croissant.json", croissant(target, description), sort=False)
    return validate(target / "croissant.json")


def show(target: Path, console: Console) -> None:
    """Print what is in the folder."""
    sizes: dict[str, list[int]] = {}
    for path in hub.files_of(target):
        sizes.setdefault(path.relative_to(target).parts[0], []).append(path.stat().st_size)
    for name, found in sizes.items():
        unit = "" if len(found) == 1 and (target / name).is_file() else f"/ {len(found)} files,"
        console.print(f"  {name}{unit} {sum(found) / 1e6:.2f} MB", highlight=False, markup=False)


def publish(arguments: argparse.Namespace, console: Console) -> int:
    """All steps; returns the exit status."""
    run: Path = arguments.run
    if not arguments.repo or arguments.repo.count("/") != 1:
        raise ValueError(f"expected --repo USER/NAME, got {arguments.repo!r}")
    info = read_info(arguments.info or run / INFO)
    about = describe(run, arguments.audit, arguments.despite_audit)
    target = run / STAGED
    warnings = stage(run, target, info, about, arguments.repo, arguments.embed_videos)
    hub.check_size(target)
    for warning in warnings:
        console.print(f"croissant: {warning}", highlight=False, markup=False)
    if about["audit"] is None:
        console.print("[yellow]no audit against truth:[/yellow] the card claims no accuracy (--audit FILE names one)")
    tags = [f"v{SCHEMA_VERSION}", f"run-{about['run_id']}"]
    visibility = "public" if arguments.public else "private"
    console.print(
        f"{arguments.repo} ({visibility}), run {about['run_id']}, tags {', '.join(tags)}", highlight=False, markup=False
    )
    show(target, console)
    if arguments.dry_run:
        console.print(f"nothing was sent; card: {target / run_folder.CARD}", highlight=False, markup=False, soft_wrap=True)
        return 0
    oid = hub.upload(target, arguments.repo, private=not arguments.public, message=f"Run {about['run_id']}", tags=tags)
    console.print(f"published as {oid[:12]}: {arguments.repo}", highlight=False, markup=False)
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point; see the help for the exit status."""
    arguments = parser().parse_args(argv)
    console = Console(stderr=True)

    def fail(error: Exception) -> None:
        text = scrub(f"{error}", environment_secrets())
        console.print(f"error: {text}", markup=False, highlight=False, soft_wrap=True)

    if arguments.write_info:
        path = arguments.info or arguments.run / INFO
        if path.exists():
            fail(ValueError(f"{path} is there already"))
            return 2
        write_text(path, TEMPLATE)
        console.print(f"fill in {path}", highlight=False, markup=False, soft_wrap=True)
        return 0
    try:
        return publish(arguments, console)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on")
        return 130
    except (OSError, ValueError, ImportError) as error:  # errors of the Hub are OSErrors
        fail(error)
        return 1 if hasattr(error, "response") else 2


if __name__ == "__main__":
    sys.exit(main())
