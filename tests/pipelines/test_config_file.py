"""Configuration: what a person writes, and what they are told when it is wrong. Secrets stay out of records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipelines import build
from pipelines.config_file import ConfigError, load_config
from pipelines.masking import MASK, is_secret, masked, scrub, secrets_of
from schemas.config import Config


def test_defaults_are_overlaid_by_the_file_and_then_by_assignments(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("seed: 3\nvideo: {crf: 20, max_width: 640}\n")
    config = load_config(file, ["video.crf=25", "questions.kinds=[camera_distance]", "run.workers=2"])
    assert (config.seed, config.video.crf, config.video.max_width, config.run.workers) == (3, 25, 640, 2)
    assert config.questions.kinds == ("camera_distance",)
    assert load_config(None) == Config()


def test_an_empty_file_means_defaults(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("# nothing yet\n")
    assert load_config(tmp_path / "c.yaml") == Config()


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("video.crff=3", r"video\.crff: there is no such key; did you mean 'crf'"),
        ("vidoe.crf=3", "vidoe: there is no such key; did you mean 'video'"),
        ("video.crf=soft", r"video\.crf: input should be a valid integer.*got 'soft'"),
        ("video.crf=99", r"video\.crf: input should be less than or equal to 40, got 99"),
        ("run.runner=slurm", r"run\.runner: input should be 'local' or 'ray', got 'slurm'"),
        ("video=3", "video: .*got 3"),
        ("video.crf", "expected --set section.key=value"),
        ("video.crf.deep=1", "video.crf"),
        ("video.crf=[", "expected a YAML value"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(assignment: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_config(None, [assignment])


@pytest.mark.parametrize(("text", "words"), [("- a\n", "expected sections"), ("a: [", "expected YAML")])
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_config(tmp_path / "c.yaml")
    with pytest.raises(ConfigError, match="expected a configuration file at"):
        load_config(tmp_path / "absent.yaml")


def test_the_command_line_says_what_is_wrong_and_returns_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    call = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert build.main([*call, "--set", "video.crff=3"]) == 2
    assert "did you mean 'crf'" in capsys.readouterr().err
    assert build.main([*call, "--workers", "-1"]) == 2
    assert "run.workers" in capsys.readouterr().err
    assert build.main(call) == 2
    assert "expected videos below" in capsys.readouterr().err


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        build.main(["--help"])
    said = capsys.readouterr().out
    assert left.value.code == 0
    assert all(word in said for word in ("calib.yaml", "baseline_m", "publish/", "--retry-failed", "exit status", "load_dataset"))


@pytest.mark.parametrize("key", ["api_key", "token", "hf_token", "SECRET", "password", "AWS_SECRET_ACCESS_KEY", "auth", "apiKey"])
def test_names_that_say_secret_are_known(key: str) -> None:
    assert is_secret(key)


@pytest.mark.parametrize("key", ["keyframes", "max_tokens", "author", "monkey", "tokenizer", "k_sigma", "kinds"])
def test_other_names_are_not(key: str) -> None:
    assert not is_secret(key)


def test_secrets_are_masked_at_any_depth_and_scrubbed_from_messages() -> None:
    values: dict[str, Any] = {"llm": {"api_key": "sk-12345678", "model": "m", "hosts": [{"token": "tok-abcdef"}]}, "key": ""}
    shown = masked(values)
    assert shown == {"llm": {"api_key": MASK, "model": "m", "hosts": [{"token": MASK}]}, "key": ""}
    assert "sk-12345678" not in json.dumps(shown)
    assert scrub("401 for sk-12345678 at tok-abcdef", secrets_of(values)) == f"401 for {MASK} at {MASK}"
    assert masked(Config().model_dump(mode="json")) == Config().model_dump(mode="json"), "nothing of today's is hidden"
