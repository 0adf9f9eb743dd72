"""Stereo video in, verified 4D questions out: ``python -m pipelines.build --input DIR --output DIR``."""

from __future__ import annotations

import argparse
import signal
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemas.config import TrainConfig

HELP = """\
The input folder is scanned for sources; each is one of
  X.mp4                                mono, or both eyes in one picture (say which in X.calib.yaml)
  X/left.mp4 + X/right.mp4             a rectified pair
  X/left/*.jpg + X/right/*.jpg         the same as images
  X.mov of a phone (spatial video)     both eyes of one stream, calibration from the file itself (mv_hevc)
  any of these + annotations/          poses, tracks, boxes, masks made elsewhere: see pipelines.import_annotations
with an optional X.calib.yaml (in a folder: calib.yaml):
  layout: pair        # mono | pair | side_by_side | over_under | vr180_side_by_side | vr180_over_under
  fps: 10             # for images
  camera: {fx: 435.2, fy: 435.2, cx: 320.0, cy: 200.0, width: 640, height: 400}    # or {hfov_deg: 60}
  baseline_m: 0.12
"""
EPILOG = """\
what comes out, below --output:
  publish/            a Hugging Face dataset folder: load_dataset("<output>/publish", "sft")
  run.json            counts by stage and reason, versions, configuration, timings
  quarantine.parquet  what failed, with stage, kind and message
  clips/  ledger/     what every stage measured of every clip, and the record that it is done

running it again does only what is missing: after Ctrl-C, after a crash, with new videos, with a changed configuration.
  python -m pipelines.build --input videos --output runs/a
  python -m pipelines.build --input videos --output runs/a --set questions.max_per_clip=10    # asks anew, measures nothing
  python -m pipelines.build --input videos --output runs/a --retry-failed
  python -m pipelines.status runs/a                                                           # from another terminal

exit status: 0 done; 1 too many clips failed (run.max_failure_rate); 2 the call, configuration or input cannot be used;
130 interrupted.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    out = argparse.ArgumentParser(
        prog="python -m pipelines.build",
        description="Turn stereo video into a dataset of verified 4D questions.\n\n" + HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    out.add_argument("--input", required=True, metavar="DIR", help="folder of videos, or its address (s3://..., gs://...)")
    out.add_argument(
        "--output", required=True, metavar="DIR", help="run folder or address; made where absent, continued where present"
    )
    out.add_argument("--config", metavar="FILE", type=Path, help="YAML with the sections of schemas/config.py")
    out.add_argument(
        "--set", metavar="A.B=VALUE", action="append", default=[], dest="assignments", help="override one value; may be repeated"
    )
    out.add_argument("--runner", choices=("local", "ray"), help="child processes of this machine, or a Ray cluster (run.runner)")
    out.add_argument("--workers", type=int, metavar="N", help="clips at a time; 0 means one per core (run.workers)")
    out.add_argument("--retry-failed", action="store_true", help="try failed clips again, up to run.max_attempts times each")
    out.add_argument("--dry-run", action="store_true", help="find sources and clips, say what would be done, measure nothing")
    return out


def main(argv: list[str] | None = None) -> int:
    """Parse, run, and return the exit status."""
    arguments = parser().parse_args(argv)
    from pipelines.config_file import ConfigError, load_config
    from pipelines.ledger import OutputIsBusy
    from pipelines.masking import environment_secrets, scrub
    from pipelines.run import Refused, run

    assignments = list(arguments.assignments)
    assignments += [f"run.runner={arguments.runner}"] if arguments.runner else []
    assignments += [f"run.workers={arguments.workers}"] if arguments.workers is not None else []
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        config = load_config(arguments.config, assignments)
        if config.train.after_build and "://" in arguments.output:
            raise ConfigError(f"train.after_build: expected a folder as --output, got {arguments.output!r}")
        status = run(
            arguments.input,
            arguments.output,
            config,
            retry_failed=arguments.retry_failed,
            dry_run=arguments.dry_run,
            command=list(sys.argv[1:] if argv is None else argv),
        )
        return status if status or arguments.dry_run else _train(arguments.output, config.train)
    except ConfigError as error:
        print(f"configuration:\n  {str(error).replace(chr(10), chr(10) + '  ')}", file=sys.stderr)
    except (Refused, OutputIsBusy) as error:
        print(f"error: {error}", file=sys.stderr)
    except Exception:  # a full disk, a fault of the factory's own: with the place, without the secrets
        print(scrub(traceback.format_exc(), environment_secrets()), file=sys.stderr)
        print("stopped by the error above; once it is mended, the same command continues where this run stopped", file=sys.stderr)
        return 1
    return 2


def _train(run_folder: str, config: TrainConfig) -> int:
    """Carry out ``train.after_build``; the exit status of the first stage that does not finish."""
    if not config.after_build:
        return 0
    from pipelines import train

    return next((status for stage in config.after_build if (status := train.main([stage, run_folder, *config.options]))), 0)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
