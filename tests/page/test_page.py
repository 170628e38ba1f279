"""The page in a headless Chromium, before a control plane of recorded shapes."""

import re
import time
from itertools import product
from typing import Any

from playwright.sync_api import Page, expect

COLOURS = ("--text", "--muted", "--accent", "--up", "--elsewhere", "--down")


def row(page: Page, region: str) -> Any:
    return page.locator(f"tr[data-region={region}]")


def marker(page: Page, region: str) -> Any:
    return page.locator(f".map .marker[data-region={region}]")


def rgb(text: str) -> list[float]:
    if text.startswith("#"):
        return [int(text[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return [int(number) / 255 for number in re.findall(r"\d+", text)[:3]]


def luminance(text: str) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in rgb(text)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def test_fifteen_regions_stand_in_the_table_and_on_the_map(visit, control):
    page = visit()
    expect(page.locator("tbody tr")).to_have_count(15)
    expect(page.locator("tbody th[scope=row]")).to_have_count(15)
    expect(page.locator(".map .marker[data-region]")).to_have_count(15)
    expect(page.locator(".map .marker.hub[data-region]")).to_have_count(5)
    expect(page.locator(".totals")).to_contain_text("15 of 15")
    expect(row(page, "asia-northeast1")).to_contain_text("Tokyo")
    expect(row(page, "asia-northeast1")).to_contain_text("ready")


def test_a_match_draws_an_arc_from_writer_to_watcher_and_a_row_of_the_feed(
    visit, control
):
    page = visit()
    control.match()
    arc = page.locator(".arc[data-from=us-central1][data-to=asia-northeast1]")
    expect(arc).to_have_count(1)
    said = page.locator(".said")
    expect(said).to_contain_text("The referee points to the spot.")
    expect(said).to_contain_text("written in Iowa")
    expect(said.locator("li.hearing")).to_contain_text("Tokyo")
    for words in ("a penalty is given", "0.71", "23 ms"):
        expect(said.locator("li.hearing")).to_contain_text(words)
    expect(arc).to_have_count(0, timeout=4000)


def test_a_match_sent_twice_is_one_row_and_matches_of_one_sentence_stand_together(
    visit, control
):
    page = visit()
    for region in ("asia-northeast1", "asia-northeast1", "europe-west3"):
        control.match(region=region)
    expect(page.locator("li.hearing")).to_have_count(2)
    expect(page.locator(".said")).to_have_count(1)
    page.wait_for_timeout(400)
    expect(page.locator("li.hearing")).to_have_count(2)


def test_a_replayed_match_is_listed_and_not_animated(visit, control):
    page = visit()
    control.match(committed_at=int(time.time() * 1000) - 60_000)
    expect(page.locator(".said")).to_have_count(1)
    assert page.locator(".arc").count() == 0


def test_text_from_the_stream_is_shown_as_text(visit, control):
    page = visit()
    control.match(text="<img src=x onerror=alert(1)>", stream="<b>q</b>")
    expect(page.locator(".sentence")).to_have_text("<img src=x onerror=alert(1)>")
    assert "<b>q</b>" in page.locator("li.hearing").inner_text()


def test_with_reduced_motion_an_arc_stands_still(visit, control):
    page = visit(reduced_motion="reduce")
    control.match()
    arc = page.locator(".arc")
    expect(arc).to_have_class(re.compile("still"))
    assert arc.evaluate("a => getComputedStyle(a).animationName") == "none"


def test_a_region_that_is_down_says_so_in_words_and_in_shape(visit, control):
    page = visit()
    gone = {"ready": False, "instances": 0, "latency_ms": None}
    control.region("us-central1").update(gone, served_by="us-east1")
    control.region("europe-west3").update(gone, served_by=None)
    control.tell()
    expect(row(page, "us-central1")).to_contain_text("down, South Carolina answers")
    expect(row(page, "europe-west3").locator(".health")).to_have_text("✕ down")
    expect(marker(page, "us-central1")).to_have_attribute("data-health", "elsewhere")
    expect(marker(page, "europe-west3")).to_have_attribute("data-health", "down")
    expect(page.locator(".map text", has_text="Frankfurt down")).to_have_count(1)
    expect(page.locator(".totals")).to_contain_text("13 of 15")


def test_the_keyboard_alone_opens_a_region_and_comes_back(visit, control):
    page = visit()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    row(page, "asia-northeast1").locator("th button").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    panel = page.locator(".panel")
    expect(panel).to_contain_text("Singapore")
    expect(panel).to_contain_text("asia-southeast1")
    assert page.evaluate("document.activeElement.id") == "panel-title"
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    assert page.evaluate("document.activeElement.textContent") == "Singapore"


def test_a_click_on_the_map_opens_the_region_with_its_facts(visit, control):
    page = visit()
    box = marker(page, "europe-north1").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    panel = page.locator(".panel")
    for words in ("Hamina", "europe-north1", "writes go to Belgium", "1 of at most 20"):
        expect(panel).to_contain_text(words)
    expect(panel.locator(".door code")).to_have_text(re.compile(r"http://127\.0\.0\.1"))
    expect(panel.locator(".parts li")).to_have_count(4)


def test_the_table_is_sorted_by_a_heading(visit, control):
    page = visit()
    heading = page.locator("th.traffic")
    heading.locator("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    heading.locator("button").click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    expect(page.locator("tbody td.traffic").first).to_have_text("14")


def test_failing_a_region_asks_first_and_shows_the_fault(visit, control):
    page = visit()
    row(page, "us-central1").click()
    page.get_by_role("button", name="Fail this region for 30 s").click()
    page.get_by_role("button", name="Leave it running").click()
    assert control.posted == []
    page.get_by_role("button", name="Fail this region for 30 s").click()
    page.get_by_role("button", name="Fail Iowa").click()
    expect(page.locator(".panel")).to_be_visible()
    page.wait_for_timeout(200)
    control.tell()
    expect(page.locator(".fault")).to_contain_text("ends by itself in")
    wanted = {"kind": "region", "region": "us-central1", "how": "kill", "seconds": 30}
    assert control.posted == [("/console/faults", wanted)]


def test_the_dashboard_draws_its_tiles_and_says_where_there_is_no_data(visit, control):
    page = visit()
    page.locator(".tile").first.wait_for()
    for tile in page.locator(".tile").all():
        tile.scroll_into_view_if_needed()
        tile.locator("[data-drawn=true], .empty:has-text('No data')").wait_for()
    assert page.locator(".tile [data-drawn=true]").count() >= 8
    assert page.locator(".tile canvas").count() >= 8
    holes = page.locator("[data-tile='Holes filled by region']")
    expect(holes).to_contain_text("No data in the last ten minutes.")


def test_a_write_is_drawn_on_its_way_and_an_older_one_can_be_chosen(visit, control):
    page = visit(wait=".waterfall [role=row]")
    rows = page.locator(".waterfall [role=row]")
    names = [row.locator(".where").inner_text() for row in rows.all()]
    took = [row.locator(".took").inner_text() for row in rows.all()]
    assert names == ["Iowa", "Belgium", "Tokyo"]
    assert took == ["8.0 ms", "22 ms", "40 ms"]
    lane = rows.nth(2).locator(".lane").bounding_box()
    feed = rows.nth(2).locator(".step-feed").bounding_box()
    # Begins 21 of 40 ms after the write and takes 2.
    assert abs((feed["x"] - lane["x"]) / lane["width"] - 21 / 40) < 0.01
    assert abs(feed["width"] / lane["width"] - 2 / 40) < 0.01
    page.get_by_role("button", name="Tokyo 2 regions").click()
    page.wait_for_selector(".waterfall[aria-label$=Tokyo]")
    assert [row.locator(".where").inner_text() for row in rows.all()] == [
        "Tokyo",
        "Iowa",
    ]


def test_before_the_first_write_nothing_is_drawn(visit, control):
    control.traces = []
    page = visit()
    page.wait_for_selector(".trace .empty")
    assert page.locator(".waterfall").count() == 0


def test_what_is_declared_and_not_run_is_listed(visit, control):
    page = visit()
    kept = page.locator(".lists > div", has_text="Declared, not run")
    expect(kept.locator("li")).to_have_count(1)
    expect(kept).to_contain_text("compute Network")


def test_a_sentence_is_written_and_its_hearers_are_listed(visit, control):
    page = visit()
    page.fill("#sentence", "a penalty for the away team")
    expect(page.locator(".query[data-state=listening]")).to_have_count(5)
    page.keyboard.press("Enter")
    outcome = page.locator(".outcome")
    expect(outcome).to_contain_text("durable in Iowa")
    expect(outcome.locator(".heard")).to_have_count(1)
    for words in ("a penalty is given", "Frankfurt", "0.71", "31 ms"):
        expect(outcome.locator(".heard")).to_contain_text(words)
    expect(outcome.locator(".silent")).to_have_count(4)
    expect(outcome.locator(".silent").first).to_contain_text("silent", timeout=6000)
    path, body = control.posted[-1]
    upsert = "/v1/collections/demo-commentary/items:upsert"
    assert path == f"/console/region/us-central1{upsert}"
    item = body["items"][0]
    assert item["metadata"] == {"text": item["text"]}
    assert item["text"] == "a penalty for the away team"
    assert item["event_id"]


def test_a_refusal_of_the_service_is_shown_with_its_code(visit, control):
    message = "Text needs the extra."
    control.refusal = {"code": "text_unavailable", "message": message}
    page = visit()
    page.fill("#sentence", "hello")
    page.keyboard.press("Enter")
    expect(page.locator(".outcome .problem")).to_contain_text(message)
    expect(page.locator(".outcome .problem")).to_contain_text("text_unavailable")
    visit.complaints.clear()  # Chromium notes every 400


def test_a_control_plane_that_is_gone_is_said_and_found_again(visit, control):
    page = visit()
    control.vanish()
    banner = page.locator(".banner")
    expect(banner).to_contain_text("The control plane does not answer; trying again.")
    expect(page.locator("tbody tr")).to_have_count(15)
    control.away = False
    expect(banner).to_have_text("")
    expect(page.locator(".link")).to_contain_text("live")
    visit.complaints.clear()  # Chromium notes every 503


def test_a_world_without_regions_says_what_to_do(visit, control):
    control.regions = []
    page = visit(wait=".regions .empty")
    expect(page.locator(".regions .empty")).to_contain_text("meridian up")


def test_nothing_scrolls_sideways_at_any_width(visit, control):
    page = visit(viewport={"width": 390, "height": 844})
    control.region("us-central1").update(
        ready=False, served_by="northamerica-northeast1", latency_ms=None
    )
    control.match(text="word" * 60)
    control.tell()
    row(page, "us-central1").click()
    page.locator(".said").wait_for()
    for width in (390, 360, 768, 1100):
        page.set_viewport_size({"width": width, "height": 844})
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_both_themes_change_the_background_and_the_choice_is_kept(visit, control):
    def background() -> str:
        text = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return str(text)

    page = visit(color_scheme="light")
    light = background()
    page.emulate_media(color_scheme="dark")
    dark = background()
    assert luminance(dark) < 0.1 < 0.8 < luminance(light)
    page.get_by_role("button", name="Use the light theme").click()
    assert background() == light
    page.reload()
    page.wait_for_selector("tbody tr")
    assert background() == light


def test_words_stand_out_from_their_ground_in_both_themes(visit, control):
    page = visit()

    def value(name: str) -> str:
        read = "n => getComputedStyle(document.documentElement).getPropertyValue(n)"
        return str(page.evaluate(read, name))

    grounds = ("--bg", "--raised", "--hover")
    for scheme, ground, colour in product(("dark", "light"), grounds, COLOURS):
        page.emulate_media(color_scheme=scheme)
        ratio = contrast(value(colour), value(ground))
        assert ratio >= 4.5, f"{colour} on {ground}, {scheme}: {ratio:.2f}"


def test_every_control_has_a_name(visit, control):
    page = visit()
    control.match()
    row(page, "us-central1").click()
    page.locator(".said").wait_for()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select")]
          .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim()
            || e.labels?.length)).map((e) => e.outerHTML)"""
    )
    assert nameless == []
    assert page.locator("html").get_attribute("lang") == "en"
    for landmark in ("header.top", "main", "footer"):
        expect(page.locator(landmark)).to_have_count(1)


def test_the_live_page_shows_the_world(live):
    page = live()
    expect(page.locator("tbody tr")).to_have_count(15)
    expect(page.locator(".link")).to_contain_text("live")
    for tile in page.locator(".tile").all():
        tile.scroll_into_view_if_needed()
        tile.locator("[data-drawn=true], .empty").first.wait_for()
    expect(page.locator(".lists li").first).to_be_visible()
