"""The page stands alone, says what the Result says, and lets nothing through unescaped."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medidiff.report import DISCLAIMER, Picture, Section, render_page, result_section, write_report
from medidiff.result import Result
from medidiff.volume import Volume

EVIL = "<script>alert('x')</script> & \"quoted\""


class Tags(HTMLParser):
    """Collects tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def make_result(**changes: object) -> Result:
    rng = np.random.default_rng(0)
    volume = Volume.from_array(rng.normal(100, 20, (12, 14, 10)).astype(np.float32), (1, 1, 2), name="scan-a")
    noise = volume.with_data(np.full(volume.shape, 5.0) + np.arange(10))
    values: dict[str, object] = dict(
        task="denoise", status="denoised", output=volume, residual=volume.with_data(rng.normal(0, 5, volume.shape)),
        noise_map=noise, uncertainty=volume.with_data(rng.uniform(1, 2, volume.shape)), samples=[volume] * 6, nfe=7,
        seconds=1.25, peak_memory_mib=321.0, warnings=["The noise is correlated."], figures={"noise_std": 5.43219},
        provenance={"prior": {"name": "general", "hash": "ab12"}, "seed": 0, "versions": {"medidiff": "0.1.0"}},
    )  # fmt: skip
    return Result(**{**values, **changes})  # type: ignore[arg-type]


def test_page_says_what_the_result_says(tmp_path: Path) -> None:
    write_report(make_result(), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    text = " ".join(Tags(page).text)
    for said in ("scan-a", "denoised", DISCLAIMER, "The noise is correlated.", "5.432", "general", "ab12",
                 "12 x 14 x 10 voxels of 1 x 1 x 2 mm", "Before", "After", "Residual", "Noise level", "Uncertainty",
                 "4 of 6 are shown"):  # fmt: skip
        assert said in text, said
    assert list(tmp_path.iterdir()) == [tmp_path / "page.html"]


def test_the_page_says_how_to_read_the_uncertainty_and_marks_what_was_not_seen() -> None:
    def told(**changes: object) -> tuple[bool, str]:
        section = result_section(make_result(**changes))
        return section.caution, next(p.caption for p in section.pictures if p.title.startswith("Uncertainty"))

    assert "interval" not in told()[1]
    caution, caption = told(figures={"noise_std": 5.0, "interval_90_factor": 1.75})
    assert not caution
    assert "90% interval of a voxel: the scan after, plus and minus 1.75 times this." in caption
    caution, caption = told(status="extrapolated: modality PT")
    assert caution
    assert "Not calibrated" in caption
    assert 'class="status caution"' in render_page("t", [result_section(make_result(status="extrapolated: x"))])


def test_a_scan_that_came_back_unchanged_has_no_residual_to_show() -> None:
    result = make_result(status="unchanged: already clean", samples=[], uncertainty=None, noise_map=None)
    assert result.residual is not None
    result.residual = result.output.with_data(np.zeros(result.output.shape))
    assert [p.title for p in result_section(result).pictures] == ["Before", "After"]


def test_page_is_self_contained() -> None:
    page = render_page("t", [result_section(make_result())])
    for tag, attributes in Tags(page).tags:
        assert tag not in {"script", "link", "iframe", "object", "embed"}
        for name in ("src", "href"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:image/png;base64,")
    assert not re.search(r"https?:|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page


def test_every_picture_is_a_png() -> None:
    pictures = result_section(make_result()).pictures
    assert [p.title.split(":")[0] for p in pictures] == [
        "Before", "After", "Residual", "Noise level", "Uncertainty", "Posterior samples",
    ]  # fmt: skip
    for picture in pictures:
        image = Image.open(io.BytesIO(base64.b64decode(picture.uri.split(",")[1])))
        assert image.format == "PNG"
        assert min(image.size) > 100


@pytest.mark.parametrize("where", ["name", "status", "warning", "figure", "provenance"])
def test_everything_is_escaped(where: str) -> None:
    result = make_result()
    if where == "name":
        result = make_result(output=Volume.from_array(result.output.data, name=EVIL), residual=None)
    if where == "status":
        result.status = EVIL
    if where == "warning":
        result.warnings = [EVIL]
    if where == "figure":
        result.figures = {EVIL: EVIL}
    if where == "provenance":
        result.provenance = {EVIL: {"x": EVIL}}
    page = render_page("t", [result_section(result)])
    assert "<script" not in page
    assert EVIL in "".join(Tags(page).text)


def test_other_texts_are_escaped_too() -> None:
    section = Section(
        EVIL, lead=EVIL, pictures=[Picture(EVIL, EVIL, 'x" onerror="y')], details=[(EVIL, [(EVIL, EVIL)])]
    )
    page = render_page(EVIL, [section], lead=EVIL, footer=EVIL)
    assert "<script" not in page
    assert all("onerror" not in attributes for _, attributes in Tags(page).tags)


def test_a_hole_is_tinted_and_a_constant_noise_map_is_not_drawn() -> None:
    result = make_result(samples=[], uncertainty=None, residual=None)
    assert result.noise_map is not None
    flat = np.full(result.output.shape, 5.0)
    result.noise_map = result.output.with_data(flat)
    assert [p.title for p in result_section(result).pictures] == ["After"]
    hole = flat.copy()
    hole[4:6, 4:6, 4:6] = np.inf
    result.noise_map = result.output.with_data(hole)
    assert [p.title for p in result_section(result).pictures] == ["The hole", "After"]
    result.noise_map = result.output.with_data(np.full(result.output.shape, np.inf))  # a synthetic scan
    assert [p.title for p in result_section(result).pictures] == ["After"]
