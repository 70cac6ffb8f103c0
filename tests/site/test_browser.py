"""The page in a browser: at the width of a phone and of a desk, light and dark, without network."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from .browser import PROGRAMS, Browser, EndedError, browser, program

PHONE, DESK = (390, 844), (1280, 900)

pytestmark = pytest.mark.skipif(
    program() is None, reason=f"no browser is installed (none of {', '.join(PROGRAMS)}): the page is not looked at"
)

OVERFLOW = """(() => {
  const found = [];
  for (const page of document.querySelectorAll("main > section")) {
    location.hash = page.id;
    for (const one of document.querySelectorAll("main > section")) one.classList.toggle("now", one === page);
    const root = document.documentElement;
    if (root.scrollWidth > root.clientWidth) found.push([page.id, root.scrollWidth, root.clientWidth]);
    page.querySelectorAll("details").forEach((one) => { one.open = true; });
    if (root.scrollWidth > root.clientWidth) found.push([page.id, "opened", root.scrollWidth]);
  }
  return found;
})()"""
"""The sections that are wider than the screen, closed or with all of their parts open."""


@pytest.fixture(scope="module")
def chromium(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that has opened the page once; the tests go from place to place in it."""
    name = program()
    assert name is not None
    with contextlib.ExitStack() as stack:
        try:
            one = stack.enter_context(browser(name, tmp_path_factory.mktemp("profile")))
        except EndedError:
            pytest.skip(f"{name} is installed and does not start here: the page is not looked at")
        one.size(*DESK)
        one.open(site.as_uri())
        yield one


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_no_section_is_wider_than_the_screen(chromium: Browser, size: tuple[int, int]) -> None:
    chromium.size(*size)
    assert chromium.value("innerWidth") == size[0]
    assert chromium.value(OVERFLOW) == []


def test_nothing_is_asked_of_the_network_and_nothing_goes_wrong(chromium: Browser, site: Path) -> None:
    chromium.go("explore/client")
    chromium.go("start")
    assert {request for request in chromium.requests if request != "about:blank"} == {site.as_uri()}
    assert chromium.complaints == []


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_an_id_in_the_address_is_what_is_seen(chromium: Browser, size: tuple[int, int]) -> None:
    chromium.size(*size)
    chromium.go("FAC-7")
    top = chromium.value("document.getElementById('FAC-7').getBoundingClientRect().top")
    assert 40 < top < 120
    shown = "[...document.querySelectorAll('main > section')].filter((one) => one.offsetParent).map((one) => one.id)"
    assert chromium.value(shown) == ["machine-factory"]


def test_the_search_leads_to_an_id(chromium: Browser) -> None:
    chromium.size(*PHONE)
    chromium.go("start")
    script = """(() => {
      const box = document.getElementById("search");
      box.value = "r-step-dom";
      box.dispatchEvent(new Event("input"));
      box.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter" }));
      return new Promise((done) => addEventListener("hashchange", () => setTimeout(() => done(location.hash), 0)));
    })()"""
    assert chromium.value(script) == "#R-STEP-DOMINATES"
    assert chromium.value("document.getElementById('R-STEP-DOMINATES').getBoundingClientRect().top") < 200
    assert chromium.value("document.getElementById('found').hidden")


def test_the_explorer_walks_by_its_address_and_greys_what_is_refused(chromium: Browser, site: Path) -> None:
    chromium.size(*PHONE)
    chromium.go("explore/client")
    script = """(() => {
      const first = document.querySelector("#explorer a.move");
      const went = new Promise((done) => addEventListener("hashchange", () => setTimeout(done, 0), { once: true }));
      first.click();
      return went.then(() => [first.querySelector(".to").textContent, location.hash,
        document.querySelector("#explorer .status").textContent,
        Number(getComputedStyle(document.querySelector("#explorer .refused .move.no")).opacity) < 1,
        [...document.querySelectorAll("#explorer .refused .code")].map((one) => one.textContent)]);
    })()"""
    label, address, status, grey, codes = chromium.value(script)
    assert label == "CLI-1 → verifying"
    assert address.startswith("#explore/client@")
    assert status == "verifying"
    assert grey
    assert {"WRONG_SENDER", "BALANCE_AS_PROMISED", "OUT_OF_TURN"} <= set(codes)
    # The same address, opened anew, is the same place.
    chromium.open(f"{site.as_uri()}{address}")
    assert chromium.value("document.querySelector('#explorer .status').textContent") == "verifying"


@pytest.mark.parametrize(
    ("fragment", "says"),
    [
        ("explore/client@000000/invited/", "made from other tables"),
        ("explore/nobody", "no machine 'nobody'"),
        ("explore/client/invited/9999", "step 1 of this address is refused here"),
        ("explore/%3Cimg%3E", "names no path"),
        ("NO-SUCH-7", "This page has no 'NO-SUCH-7'"),
    ],
)
def test_an_address_that_leads_nowhere_says_so(chromium: Browser, fragment: str, says: str) -> None:
    chromium.size(*DESK)
    chromium.go(fragment)
    shown = "[...document.querySelectorAll('.warning')].filter((one) => one.offsetParent).map((one) => one.textContent)"
    assert says in " ".join(chromium.value(shown))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_it_can_be_read_light_and_dark(chromium: Browser, tmp_path: Path, size: tuple[int, int], dark: bool) -> None:
    chromium.size(*size, dark=dark)
    chromium.go("P-EXIT-ALWAYS")
    # Relative luminance and contrast as WCAG 2 has them: text needs 4.5.
    script = """(() => {
      const light = (colour) => {
        const [r, g, b] = colour.match(/\\d+/g).map((one) => one / 255)
          .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const paper = light(getComputedStyle(document.body).backgroundColor);
      const least = Math.min(...["p", "a.id", ".quiet", ".verdict", "dt"].map((name) => {
        const one = [...document.querySelectorAll(`#properties ${name}`)].find((each) => each.offsetParent);
        const style = getComputedStyle(one);
        const behind = style.backgroundColor === "rgba(0, 0, 0, 0)" ? paper : light(style.backgroundColor);
        const ink = light(style.color);
        return (Math.max(ink, behind) + 0.05) / (Math.min(ink, behind) + 0.05);
      }));
      return [paper, least];
    })()"""
    paper, least = chromium.value(script)
    assert (paper < 0.1) == dark
    assert least >= 4.5
    picture = chromium.screenshot(tmp_path / "page.png")
    assert picture.startswith(b"\x89PNG")
    # A blank picture of this size takes less than this.
    assert len(picture) > 15_000


def test_the_reader_can_choose_the_other_colours(chromium: Browser) -> None:
    chromium.size(*DESK, dark=True)
    script = """(() => {
      const paper = () => getComputedStyle(document.body).backgroundColor;
      const found = [paper()];
      for (let times = 0; times < 2; times += 1) {
        document.getElementById("theme").click();
        found.push(paper());
      }
      localStorage.removeItem("theme");
      delete document.documentElement.dataset.theme;
      return found;
    })()"""
    first, other, again = chromium.value(script)
    assert first == again != other


def test_the_smallest_letters_are_legible_on_a_phone(chromium: Browser) -> None:
    chromium.size(*PHONE)
    chromium.go("P-EXIT-ALWAYS")
    script = """(() => {
      document.querySelectorAll("#properties details").forEach((one) => { one.open = true; });
      const all = [...document.querySelectorAll("#properties *, .top *")].filter((one) => one.textContent.trim());
      return Math.min(...all.map((one) => parseFloat(getComputedStyle(one).fontSize)));
    })()"""
    assert chromium.value(script) >= 11
