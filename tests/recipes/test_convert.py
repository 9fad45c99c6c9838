"""`pairwright convert`: every kind of file, every row accounted for, memory that does not grow with the file."""

import json
import tracemalloc

import pytest

from pairwright.cli import main
from pairwright.errors import ConfigError, DataError
from pairwright.reading import read
from pairwright.recipes.convert import ConvertConfig, convert
from pairwright.records import Preference

ROW = {"prompt": "Far? {}", "chosen": ' Two miles,\n"no" more.', "rejected": " No."}


def rows(path, count, extra=""):
    path.write_text("".join(json.dumps(ROW | {"prompt": f"Far? {n}"}) + "\n" for n in range(count)) + extra)
    return str(path)


@pytest.mark.parametrize("ending", [".jsonl", ".jsonl.gz", ".csv", ".parquet"])
def test_there_and_back(ending, tmp_path):
    data = rows(tmp_path / "in.jsonl", 2500)
    there = convert(ConvertConfig(data, str(tmp_path / f"out{ending}"), "openai"))
    assert (there.read, there.converted, there.written, there.refused) == (2500, 2500, 2500, 0)
    back = read(str(there.path), Preference)
    assert back.format == "openai-preference" and len(back.records) == 2500
    assert back.records[7].prompt[0].content == "Far? 7"
    assert back.records[7].chosen[0].content == ROW["chosen"]


def test_every_row_is_accounted_for(tmp_path):
    system = {"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]}
    odd = system | {side: [{"role": "assistant", "content": side}] for side in ("chosen", "rejected")}
    usual = odd | {"prompt": [{"role": "user", "content": "u"}]}
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(["", json.dumps(usual), "{broken", json.dumps(odd), json.dumps(usual)]) + "\n")
    done = convert(ConvertConfig(str(path), str(tmp_path / "out.jsonl"), "hh"))
    assert (done.read, done.converted, done.refused) == (5, 2, 1)
    aside = [json.loads(line) for line in (tmp_path / "out.dropped.jsonl").read_text().splitlines()]
    assert [(entry["line"], entry["reason"][:20]) for entry in aside] == [
        (3, "not JSON: expecting "),
        (4, "cannot be written as"),
    ]


def test_memory_does_not_grow(tmp_path):
    peaks = []
    for count in (1500, 6000):
        data = rows(tmp_path / f"{count}.jsonl", count)
        tracemalloc.start()
        convert(ConvertConfig(data, str(tmp_path / f"{count}.out.jsonl"), "hh"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0] + 500_000


def test_refusals(tmp_path, monkeypatch, capsys):
    data = rows(tmp_path / "in.jsonl", 3)
    with pytest.raises(ConfigError, match="unknown"):
        convert(ConvertConfig(data, str(tmp_path / "o.jsonl"), "nonsense"))
    with pytest.raises(ConfigError, match="must end in"):
        convert(ConvertConfig(data, str(tmp_path / "o.txt"), "hh"))
    with pytest.raises(ConfigError, match="exists"):
        convert(ConvertConfig(data, data, "hh"))
    with pytest.raises(DataError, match="no row can be written as ultrafeedback"):
        convert(ConvertConfig(data, str(tmp_path / "o.jsonl"), "ultrafeedback"))
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl"}
    monkeypatch.chdir(tmp_path)
    assert main(["convert", "in.jsonl", "out.csv", "--to", "kto"]) == 0
    assert "out.csv: 6 rows" in capsys.readouterr().out
    assert main(["convert", "in.jsonl"]) == 2
