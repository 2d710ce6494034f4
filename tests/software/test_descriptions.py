"""Descriptions of software: the catalogue's, a user's own, and what is wrong with one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from perfmodel.errors import MachineError, UnknownName
from perfmodel.figures.checking import validated
from perfmodel.figures.figure import Origin
from perfmodel.software import Software, catalogue, load_software
from perfmodel.software.schema import PrecisionRule
from perfmodel.vocabulary import families as f

OWN = """
base = "eager"
name = "Ours"

[launch]
linear = "3 us"
"""


@pytest.mark.parametrize("name", catalogue())
def test_every_description_is_whole_and_cites_its_figures(name: str) -> None:
    software = load_software(name)
    assert software.id == name
    assert software.figures()
    for path, figure in software.figures().items():
        assert path.startswith(f"software.{name}.")
        assert figure.confidence != "stated", path
        assert len(figure.source) > 20, path
        if figure.confidence in ("R", "U"):
            assert figure.is_range, path


def test_efficiencies_are_shares() -> None:
    for name in catalogue():
        for path, figure in load_software(name).figures().items():
            if ".efficiency." in path:
                assert 0 < figure.low <= figure.high <= 1, path


def test_the_examples_of_the_documents_load(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "software.md").read_text(encoding="utf-8")
    path = tmp_path / "ours.toml"
    like, own = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    path.write_text(like)
    assert load_software(path).launch == load_software("openvino").launch
    assert load_software(path).beside["int8"]["linear"].typical == 0.5
    path.write_text(own)
    assert load_software(path).launch["default"].source == "Profiled on our servers, 2026-05"
    # No more is asked for than the page says.
    fields = ("name", "description", "threads")
    needed = [line for line in own.splitlines() if line.startswith(fields)]
    path.write_text("\n".join([*needed, 'launch.default = "1 us"']))
    assert load_software(path).threads == "all"


def test_a_file_works_as_a_name_does_and_states_only_what_differs(tmp_path: Path) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(OWN)
    own, eager = load_software(path), load_software("eager")
    assert (own.id, own.name, own.fusion) == ("ours", "Ours", eager.fusion)
    assert own.launch[f.LINEAR].typical == pytest.approx(3e-6)
    assert own.launch[f.NORM] == eager.launch[f.NORM]
    assert load_software(own) is own


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'openvino'"):
        load_software("openvinoo")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('fusion = ["conv_nrom"]', "unknown rule 'conv_nrom'.*did you mean 'conv_norm'"),
        ('[launch]\ncnv = "1 us"', "unknown operator family.*did you mean 'conv'"),
        ('[launch]\nconv = "1 GB"', "launch.conv"),
        ("[efficiency.any]\nlinear = 1.5", r"efficiency\.any\.linear.*a fraction in \(0, 1\]"),
        ('[formats]\nlinear = ["int9"]', "unknown number format 'int9'"),
        ('[precision.int8]\narithmetic = { linear = "int9" }', "unknown number format 'int9'"),
        ("[precision.int8]\nread = { linear = 0 }", "bits in 1 to 64"),
        ("[precision.int8]\nread = { norms = 8 }", "unknown operator family"),
        ("overlap = 2", "overlap"),
        ('threads = "some"', "threads: 'some'"),
        ('base = "egaer"', "did you mean 'eager'"),
        ('base = "own.toml"', "rests on itself"),
        ("lunch = 3", "unknown field"),
    ],
)
def test_what_is_wrong_is_one_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "own.toml"
    body = text if text.startswith("base") else f'base = "eager"\n{text}'
    path.write_text(body + "\n")
    with pytest.raises(MachineError, match=expected) as error:
        load_software(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("bits", "allowed"), [(0.99, False), (1, True), (64, True), (65, False)])
def test_an_element_has_1_to_64_bits(bits: float, allowed: bool) -> None:
    def rule() -> PrecisionRule:
        return validated(PrecisionRule, {"read": {f.LINEAR: bits}}, Origin("own.toml", {}))

    if allowed:
        assert rule().read[f.LINEAR] == bits
    else:
        with pytest.raises(MachineError, match="bits; expected bits in 1 to 64"):
            rule()


#: What every description states.
BARE: dict[str, Any] = {
    "id": "bare",
    "name": "Bare",
    "description": "for tests",
    "threads": "all",
    "launch": {"default": "1 us"},
}


def test_what_a_description_does_not_state() -> None:
    """Software that says no more fuses nothing, hides all memory time, and adds only launches."""
    bare = vars(validated(Software, BARE, Origin("own", {})))
    assert {name: value for name, value in bare.items() if name not in BARE} == {
        "notes": "",
        "fusion": (),
        "folds": False,
        "numa": "socket",
        **dict.fromkeys(("without", "requires", "lacks", "precisions"), ()),
        "widens": False,
        "overlap": 1.0,
        **{key: {} for key in ("formats", "precision", "efficiency", "unpacking", "beside")},
        **dict.fromkeys(("join", "grain", "stragglers", "chunks", "bandwidth")),
        **dict.fromkeys(("bandwidth_several", "moving", "touching", "packing")),
        **dict.fromkeys(("packing_bandwidth", "relayout", "conversion")),
        **dict.fromkeys(("native_convolution", "fresh_output")),
    }
    tables: dict[str, Any] = {key: {} for key in ("arithmetic", "weight", "read", "write")}
    assert vars(PrecisionRule()) == {"fusion": None, "packed": False} | tables
    for name in BARE:
        rest = {n: v for n, v in BARE.items() if n != name}
        with pytest.raises(MachineError, match=f"^own: {name}: missing"):
            validated(Software, rest, Origin("own", {}))


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("id", ["x", "0", "A.b_c-1"], ["", ".x", "-x", "_x", "x y", "x/y", "x\n"]),
        ("name", ["x"], [""]),
        ("description", ["x"], [""]),
        ("threads", ["best", "all", "joined"], ["", "none"]),
        ("numa", ["socket", "domain"], ["", "node"]),
        ("overlap", [0.0, 1.0], [-1e-9, 1 + 1e-9, float("nan")]),
        ("launch", [{"default": "1 us"}], [{}, {"conv": "1 us"}, {"default": "0 us"}]),
        ("stragglers", [1e-9, None], [0.0, -1.0]),
        ("fusion", [["conv_norm"]], [["conv_nrom"], "conv_norm"]),
        ("formats", [{"default": ["int8"]}, {"conv": []}], [{"norm": ["int8"]}]),
        ("efficiency", [{"any": {"norm": 1.0}}], [{"any": {"norm": 1.1}}, {"any": {"x": 1.0}}]),
        ("beside", [{"int8": {"norm": 2}}], [{"int8": {"default": 2}}]),
        (
            "precision",
            [{"int8": {"packed": True}}, {"int8": {"fusion": []}}, {"int8": {"fusion": None}}],
            [{"int8": {"arithmetic": {"norm": "fp32"}}}, {"int8": {"fusion": ["x"]}}],
        ),
    ],
)
def test_a_field_has_what_it_may_have_and_nothing_else(
    name: str, allowed: list[Any], refused: list[Any]
) -> None:
    for value in allowed:
        assert validated(Software, BARE | {name: value}, Origin("own", {})).id
    for value in refused:
        with pytest.raises(MachineError, match=rf"^own: {name}\b") as error:
            validated(Software, BARE | {name: value}, Origin("own", {}))
        assert "\n" not in str(error.value)


def test_a_description_laid_over_keeps_the_rest() -> None:
    eager = load_software("eager")
    changed = eager.overlaid({"launch": {"conv": "9 us"}}, "test")
    assert isinstance(changed, Software)
    assert changed.launch[f.CONV].typical == pytest.approx(9e-6)
    assert changed.launch[f.LINEAR] == eager.launch[f.LINEAR]
    assert eager.overlaid({}, "test") is eager


def test_a_copy_has_the_figures_of_its_own_fields_whatever_was_read_before() -> None:
    eager = load_software("eager")
    assert "software.eager.conversion" in eager.figures()
    copy = eager.model_copy(update={"conversion": None})
    assert eager.figures().keys() - copy.figures().keys() == {"software.eager.conversion"}
    assert "software.eager.conversion" not in copy.settable()
