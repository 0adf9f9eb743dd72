"""Let a model answer the benchmark, and compare models."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown

from curation.evaluate.compare import compare, markdown, picture
from curation.evaluate.endpoint import Endpoint, Refused, public_address
from curation.evaluate.items import Item, bench_items, file_items, read_entries
from curation.shards.export.read import publish_folder
from pipelines.answering import Answers, answer_all
from pipelines.files import write_json, write_text
from pipelines.local_model import LocalModel
from pipelines.masking import environment_secrets, scrub

_EPILOG = """
examples:
  python -m pipelines.evaluate answer RUN --endpoint http://localhost:8000/v1 --model Qwen/Qwen3-VL-8B-Instruct --output eval
  python -m pipelines.evaluate answer RUN --checkpoint runs/sft/merged --name ours --reasoning --output eval
  python -m pipelines.evaluate answer vlm4d.json --endpoint URL --model M --video-root videos --output eval
  python -m pipelines.evaluate score eval/*.json --output eval

answer   puts every question of `bench` (or of a file in the MLLM-4D / VLM4D shape) with 32 frames to a model. Replies are kept as
         they come: the same command after a kill, or after errors, asks only what is left. Writes OUTPUT/NAME.json, which other
         tools score too, and prints the table. The key is read from the environment variable OPENAI_API_KEY (--api-key-env).
score    compares response files: entries with question, choices, answer (the text of one choice) and response. Writes
         OUTPUT/comparison.md, .json and a picture for each set of questions. Chance and a guesser that never sees the video
         stand in every table.
The exit status is 1 when a question stayed without a reply, 2 when nothing could be done, 130 after Ctrl-C.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.evaluate",
        description=__doc__,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = out.add_subparsers(dest="verb", required=True)
    ask = verbs.add_parser("answer", help="put the questions to one model", description="Put the questions to one model.")
    ask.add_argument("questions", type=Path, metavar="RUN", help="run folder, dataset folder, or JSON file of questions")
    ask.add_argument("--output", type=Path, required=True, metavar="DIR", help="where the replies go")
    model = ask.add_mutually_exclusive_group(required=True)
    model.add_argument("--endpoint", metavar="URL", help="OpenAI-compatible, mostly ending in /v1")
    model.add_argument("--checkpoint", metavar="PATH", help="folder or Hub name of a transformers vision-language model")
    ask.add_argument("--model", default="", metavar="NAME", help="the model's name at the endpoint")
    ask.add_argument("--adapter", default="", metavar="DIR", help="LoRA adapter for the checkpoint")
    ask.add_argument("--name", default="", help="in tables and files (default: the model's, with -reasoning)")
    ask.add_argument("--reasoning", action="store_true", help="ask for thoughts and positions, then the letter")
    ask.add_argument("--table", default="bench", help="bench, or a training table (default bench)")
    ask.add_argument("--limit", type=int, default=None, metavar="N", help="only N questions, spread over all")
    ask.add_argument("--frames", type=int, default=32, metavar="N", help="frames per question (default 32)")
    ask.add_argument("--send", choices=("frames", "video"), default="frames", help="to an endpoint: images, or the mp4 (vLLM)")
    ask.add_argument("--max-side", type=int, default=512, metavar="PX", help="of an image sent (default 512)")
    ask.add_argument("--frame-pixels", type=int, default=50176, metavar="N", help="of a frame, to a checkpoint (default 50176)")
    ask.add_argument("--max-tokens", type=int, default=4096, metavar="N", help="of a reply (default 4096)")
    ask.add_argument("--concurrency", type=int, default=8, metavar="N", help="requests at a time (default 8)")
    ask.add_argument("--attempts", type=int, default=5, metavar="N", help="per question (default 5)")
    ask.add_argument("--timeout", type=float, default=300.0, metavar="S", help="of a request (default 300)")
    ask.add_argument("--api-key-env", default="OPENAI_API_KEY", metavar="NAME", help="environment variable that holds the key")
    ask.add_argument("--video-root", type=Path, default=None, metavar="DIR", help="that a file's videos are relative to")
    comparing = verbs.add_parser("score", help="compare response files", description="Compare response files.")
    comparing.add_argument("files", type=Path, nargs="+", metavar="FILE", help="JSON or JSON lines with responses")
    comparing.add_argument("--skip-broken", action="store_true", help="leave out entries whose answer is none of their choices")
    comparing.add_argument("--output", type=Path, required=True, metavar="DIR", help="where table and picture go")
    return out


def questions(source: Path, table: str, video_root: Path | None, limit: int | None) -> list[Item]:
    """What is to be asked.

    Raises:
        ValueError: there is nothing to ask.
        FileNotFoundError: ``source`` is not there.
    """
    if source.is_file():
        root = video_root or source.parent
        rows = [{**row, "video": str(root / str(row.get("video", "")))} for row in read_entries(source)]
        items = file_items(rows, str(source))
    else:
        items = bench_items(publish_folder(source), table)
    if not items:
        raise ValueError(
            f"expected questions in {source}, found none. A run of few sources has an empty bench: raise shards.bench_share, "
            "or give --table sft"
        )
    if limit is not None and limit < len(items):
        items = [items[i * len(items) // limit] for i in range(max(limit, 1))]
    return items


def read_responses(path: Path, skipped: list[str] | None) -> tuple[list[Item], dict[str, Any]]:
    """Questions and responses of one file; see ``file_items`` for ``skipped``.

    Raises:
        ValueError: it has another shape.
    """
    rows = read_entries(path)
    items = file_items(rows, str(path), skipped)
    if rows and not any("response" in row for row in rows):
        raise ValueError(f"expected the key 'response' in the entries of {path}, found none")
    return items, {item.id: item.row.get("response") for item in items}


def compare_files(files: Sequence[Path], output: Path, skipped: list[str] | None = None) -> str:
    """Write the comparison; returns its table. See ``file_items`` for ``skipped``."""
    stems = [path.stem for path in files]
    names = [path.stem if stems.count(path.stem) == 1 else f"{path.parent.name}/{path.stem}" for path in files]
    if len(set(names)) < len(names):
        raise ValueError(f"expected files of different names or folders, got {', '.join(map(str, files))}")
    groups = compare({name: read_responses(path, skipped) for name, path in zip(names, files, strict=True)})
    pages = []
    output.mkdir(parents=True, exist_ok=True)
    for n, group in enumerate(groups):
        image = output / f"comparison{f'-{n + 1}' if len(groups) > 1 else ''}.png"
        picture(group, image)
        title = f"# {group['count']} questions (set {group['questions']})\n\n" if len(groups) > 1 else ""
        pages.append(f"{title}{markdown(group)}\n![accuracy by kind]({image.name})\n")
    write_text(output / "comparison.md", "\n".join(pages))
    write_json(output / "comparison.json", groups, sort=False)
    return "\n".join(pages)


def _model(arguments: argparse.Namespace, key: str) -> tuple[Endpoint | LocalModel, dict[str, Any], str]:
    """The model, the settings that its replies depend on (no secrets), and its name."""
    common = {"reasoning": arguments.reasoning, "frames": arguments.frames, "max_tokens": arguments.max_tokens}
    suffix = "-reasoning" if arguments.reasoning else ""
    if arguments.checkpoint:
        where = {"path": arguments.checkpoint, "adapter": arguments.adapter}
        name = arguments.name or Path(arguments.adapter or arguments.checkpoint).name + suffix
        shown = {**where, **common, "frame_pixels": arguments.frame_pixels}
        return LocalModel(**shown), shown, name
    if not arguments.model:
        raise ValueError("--endpoint needs --model NAME, as the server knows it")
    sent = {"send": arguments.send, "max_side_px": arguments.max_side, "model": arguments.model}
    endpoint = Endpoint(
        arguments.endpoint, api_key=key, timeout_s=arguments.timeout, attempts=arguments.attempts, **sent, **common
    )
    about = {"endpoint": public_address(arguments.endpoint), **sent, **common, "temperature": endpoint.temperature}
    return endpoint, about, arguments.name or arguments.model + suffix


def answer(arguments: argparse.Namespace, console: Console) -> int:
    """The verb ``answer``; returns the exit status."""
    if min(arguments.frames, arguments.concurrency, arguments.attempts) < 1:
        raise ValueError("expected --frames, --concurrency and --attempts of at least 1")
    key = os.environ.get(arguments.api_key_env, "")
    items = questions(arguments.questions, arguments.table, arguments.video_root, arguments.limit)
    model, settings, name = _model(arguments, key)
    path = arguments.output / (re.sub(r"[^\w.-]+", "_", name).strip("._") or "model")
    secrets = environment_secrets() | ({key} if len(key) >= 4 else set())
    if isinstance(model, LocalModel):
        _ = model.loaded  # what is wrong with it is told once, and not for every question
    with contextlib.closing(Answers(path, items, settings, secrets)) as answers:
        failed = answer_all(model.ask, answers, arguments.concurrency if arguments.endpoint else 1, console)
        answers.finish()
    console.print(f"{len(items) - sum(failed.values())} of {len(items)} questions answered: {path}.json", highlight=False)
    for kind, count in failed.most_common():
        console.print(f"  [yellow]without a reply:[/yellow] {count} {kind}; the same command tries them again", highlight=False)
    show(compare_files([path.with_name(path.name + ".json")], arguments.output / f"{path.name}-scores"))
    return 1 if failed else 0


def show(text: str) -> None:
    """Print a Markdown table: laid out in a terminal, as it is in a pipe."""
    if sys.stdout.isatty():
        Console().print(Markdown(text))
    else:
        print(text)


def main(argv: list[str] | None = None) -> int:
    """Entry point; see the help for the exit status."""
    arguments = parser().parse_args(argv)
    console = Console(stderr=True)
    try:
        if arguments.verb == "answer":
            return answer(arguments, console)
        skipped: list[str] = []
        show(compare_files(arguments.files, arguments.output, skipped if arguments.skip_broken else None))
        for problem in skipped:
            console.print(f"left out: {problem}", markup=False, highlight=False, soft_wrap=True)
        console.print(f"table, picture and numbers: {arguments.output}/comparison.*", highlight=False)
        return 0
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on with what is left")
        return 130
    except (OSError, ValueError, ImportError, Refused) as error:
        key = os.environ.get(getattr(arguments, "api_key_env", ""), "")
        secrets = environment_secrets() | ({key} if len(key) >= 4 else set())
        console.print(f"error: {scrub(str(error), secrets)}", markup=False, highlight=False, soft_wrap=True)
        return 2


if __name__ == "__main__":
    sys.exit(main())
