"""Every snippet of docs/formats.md runs as it stands, in order, in an empty folder."""

import re
import subprocess
import sys
from pathlib import Path

import published_samples as published
from command_line import succeed

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_the_snippets_run(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    published.agenttraj(tmp_path)
    ran = []
    for language, block in BLOCKS:
        if language == "python":
            subprocess.run([sys.executable, "-c", block], check=True, capture_output=True)
            ran.append("python")
        for line in block.splitlines():
            if line.startswith("agentkd "):
                succeed(*line.split()[1:])
                ran.append(line.split()[1])
    assert ran == [
        *("collect", "export", "export", "python"),
        *("import", "curate", "import", "curate", "python"),
    ]


def test_the_upload_command_exists() -> None:
    (upload,) = [line for _, block in BLOCKS for line in block.splitlines() if line[:3] == "hf "]
    command = [sys.executable, "-m", "huggingface_hub.cli.hf", "upload", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "--repo-type" in upload
    assert "--repo-type" in said
