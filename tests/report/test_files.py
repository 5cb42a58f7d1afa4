import json
from dataclasses import replace

import pytest

from headtail.report import load_report, save_report


@pytest.fixture
def written(report, tmp_path):
    """Write a report, changed by a function, and return its path."""

    def write(change=None):
        path = tmp_path / "report.json"
        save_report(report, path)
        if change is not None:
            data = json.loads(path.read_text("utf-8"))
            change(data)
            path.write_text(json.dumps(data), "utf-8")
        return path

    return write


def test_a_report_comes_back_as_it_was(report, written, tmp_path):
    assert load_report(written()) == report
    assert load_report(tmp_path) == report


def test_the_same_report_gives_the_same_bytes(report, written, tmp_path):
    first = written().read_bytes()
    save_report(load_report(tmp_path), tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == first


def test_nan_is_never_written(report):
    with pytest.raises(ValueError, match="finite"):
        replace(report.methods[0].figures["all"], value=float("nan"))


def test_a_folder_without_a_report_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"must hold report\.json.*compare -o"):
        load_report(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"none\.json does not exist"):
        load_report(tmp_path / "none.json")


def test_what_is_no_json_is_refused(tmp_path):
    (tmp_path / "report.json").write_bytes(b"\x80\x04")
    with pytest.raises(ValueError, match=r"must be a report, as .* Compare again"):
        load_report(tmp_path)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: d.pop("classes"), r"classes: Field required"),
        (lambda d: d.update(extra=1), r"extra: Unexpected keyword argument"),
        (lambda d: d["classes"].update(counts=["x"]), r"classes\.counts\.0: .*integer"),
        (lambda d: d["findings"][0].update(outcome="maybe"), r"findings\.0\.outcome"),
        (lambda d: d["classes"]["names"].pop(), r"9 class names stand beside columns"),
        (
            lambda d: d["methods"][1]["recall"].pop(),
            r"has 9 recalls of 10 classes",
        ),
        (lambda d: d.update(method="none"), r"none of the methods"),
        (lambda d: d["methods"][0]["trend"].pop(), r"trend of base has 9 points"),
        (
            lambda d: d["methods"][1]["donors"]["receivers"].pop(),
            r"donors of transfer are columns",
        ),
        (
            lambda d: d["methods"][1]["donors"]["donors"][0].__setitem__(0, 10),
            r"transfer names a class beyond the 10",
        ),
        (
            lambda d: d["methods"][1]["confusion"]["pairs"][0].update(true=-1),
            r"pairs\.0\.true: .*greater than or equal to 0",
        ),
        (lambda d: d["methods"][1]["maps"][0]["x"].pop(), r"a map of transfer"),
        (lambda d: d["methods"][0]["figures"].pop("few"), r"base lacks some of"),
        (lambda d: d["methods"][1]["gains"].pop("all"), r"transfer lacks some of"),
        (lambda d: d["methods"][0]["calibration"].pop("few"), r"calibration of base"),
        (
            lambda d: d["methods"][0]["calibration"]["many"]["n"].pop(),
            r"calibration of base has columns",
        ),
        (lambda d: d["methods"][0]["confusion"]["rates"].pop(), r"three rows of four"),
        (lambda d: d["methods"][0]["gain_bars"]["counts"].pop("few"), r"gain bars"),
        (lambda d: d["methods"][0]["gain_bars"]["edges"].pop(), r"gain bars of base"),
        (lambda d: d["groups"].pop(), r"the groups must be"),
        (lambda d: d.update(rivals=[]), r"rivals must begin"),
        (lambda d: d.update(rivals=["none"]), r"or a rival is none of"),
        (lambda d: d["trend_ranks"].__setitem__(0, 10), r"trend rank lies beyond"),
        (lambda d: d["methods"][1].update(name="base"), r"the same name"),
        (
            lambda d: d["classes"]["sizes"].__setitem__(0, 0),
            r"test examples alone",
        ),
        (lambda d: d["classes"]["counts"].__setitem__(0, "150"), r"counts\.0"),
        (lambda d: d["classes"]["counts"].__setitem__(0, -1), r"counts\.0"),
        (lambda d: d["classes"]["groups"].__setitem__(0, "huge"), r"groups\.0"),
        (lambda d: d["methods"][0]["recall"].__setitem__(0, 7.0), r"recall\.0"),
        (
            lambda d: d["methods"][1]["donors"]["shares"][0].pop(),
            r"donors of transfer are columns",
        ),
    ],
    ids=[
        *("lacking", "unknown", "not a number", "not an outcome", "short names"),
        *("short recall", "no method", "short trend", "short donors", "beyond"),
        *("before", "short map", "no figure", "no gain", "no calibration"),
        *("short bins", "short confusion", "no bars", "short edges", "two groups"),
        *("no rivals", "unknown rival", "late rank", "twice", "untested", "text"),
        *("negative", "unknown group", "recall above 1", "short shares"),
    ],
)
def test_parts_that_do_not_fit_are_refused(written, change, told):
    with pytest.raises(ValueError, match=told):
        load_report(written(change))
