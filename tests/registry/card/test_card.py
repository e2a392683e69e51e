"""Cards: generated from what the registry knows, around what people write and nobody overwrites."""

from __future__ import annotations

from datetime import timedelta
from html.parser import HTMLParser

import pytest

from registry.conftest import MakeVersion
from treadle.evaluate import Evaluation, Evaluations, Verdict
from treadle.kernel.clock import ManualClock
from treadle.kernel.errors import Conflict, InvalidInput, NotFound
from treadle.kernel.events import timeline
from treadle.kernel.workspace import Workspace
from treadle.registry import Cards, CardTexts, Registry, card_file, read_card_file
from treadle.registry.card.markdown import markdown
from treadle.registry.card.page import page, written
from treadle.registry.card.types import NewCardText

EVIL = "<script>alert('&\"')</script>|*]]>"


def write(workspace: Workspace, *parts: NewCardText, actor: str = "ada") -> None:
    Cards(workspace).write(CardTexts(model="toy", parts=parts, actor=actor))


def said(section: str, text: str, over: int | None = None) -> NewCardText:
    return NewCardText(section=section, text=text, over=over)  # type: ignore[arg-type]


@pytest.fixture
def registered(workspace: Workspace, make_version: MakeVersion) -> Workspace:
    Registry(workspace).register(make_version())
    return workspace


# ── what people write ────────────────────────────────────────────────────


def test_every_revision_is_kept_with_its_author_and_an_event(
    registered: Workspace, clock: ManualClock
) -> None:
    write(registered, said("limits", "Snow."), said("owners", "Ops"))
    first = clock.now()
    clock.at += timedelta(minutes=1)
    write(registered, said("limits", "Snow, ice."), said("owners", " Ops\n"), actor="grace")
    found = [(one.section, one.revision, one.text, one.actor) for one in Cards(registered).texts("toy")]
    assert found == [("limits", 2, "Snow, ice.", "grace"), ("owners", 1, "Ops", "ada")]
    kept = [(one.text, one.at > first) for one in Cards(registered).written("toy") if one.section == "limits"]
    assert kept == [("Snow.", False), ("Snow, ice.", True)]
    events = timeline(registered.database, "model:toy", kinds=["card_written"])
    assert [(event.actor, event.facts["section"], event.facts["revision"]) for event in events] == [
        ("ada", "limits", "1"), ("ada", "owners", "1"), ("grace", "limits", "2"),
    ]  # fmt: skip


def test_nobody_overwrites_what_they_have_not_seen(registered: Workspace) -> None:
    write(registered, said("limits", "Snow.", over=0))
    with pytest.raises(Conflict, match="ada has written it since you looked"):
        write(registered, said("owners", "Ops", over=0), said("limits", "Ice.", over=0), actor="grace")
    assert [one.text for one in Cards(registered).texts("toy")] == ["Snow."]


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (said("limits", "x" * 70_000), "longer than"),
        (said("limits", "a\n## Owners\nme"), "would begin another section"),
    ],
)
def test_a_part_that_cannot_be_is_refused_whole(registered: Workspace, part: NewCardText, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        write(registered, said("owners", "Ops"), part)
    assert Cards(registered).texts("toy") == []


def test_there_is_no_card_without_a_model(registered: Workspace) -> None:
    with pytest.raises(NotFound, match="toi"):
        Cards(registered).write(CardTexts(model="toi", parts=(said("limits", "x"),)))
    with pytest.raises(NotFound):
        Cards(registered).card("toy/2")
    with pytest.raises(InvalidInput, match="html or md"):
        Cards(registered).render("toy/1", "pdf")


def test_the_file_that_is_edited_gives_the_parts_back(registered: Workspace) -> None:
    text = "No *snow*.\n\n```\n## not a heading\n```\n\n### More\n\n- ice"
    write(registered, said("limits", text))
    seen = Cards(registered).texts("toy")
    parts = {part.section: part for part in read_card_file(card_file("toy", seen), seen)}
    assert parts["limits"] == said("limits", text, over=1)
    assert {part.text for part in parts.values()} == {text, ""}  # questions that were left aren't answers
    write(registered, *parts.values())
    assert [one.revision for one in Cards(registered).written("toy")] == [1]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Just words", "has no section"),
        ("## Limit\nSnow", "did you mean 'Limits'"),
        ("## Limits\na\n## limits\nb", "stands twice"),
        ("## Limits\na\n# Flights\nb", "no section 'Flights'"),
    ],
)
def test_a_file_that_is_no_card_is_refused(text: str, why: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_card_file(text)
    assert why in str(refused.value)


# ── what is generated ────────────────────────────────────────────────────


class Outline(HTMLParser):
    """Headings, and whether anything would be loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [str(value) for name, value in attrs if name in {"src", "href"}]


def test_a_card_tells_what_the_registry_knows(judged: Workspace) -> None:
    write(judged, said("intended-use", "Which flights will be late."))
    card = Cards(judged).card("toy/1")
    html = page(card)
    assert Outline(html).loads == []
    assert "svg" in Outline(html).tags
    text = markdown(card)
    version = card.version
    groups = {v.subject for made in card.evaluations for v in made.verdicts if v.check.startswith("bias.")}
    assert any("carrier=" in group for group in groups)
    for made in (html, text.replace("\\", "")):
        assert "Which flights will be late." in made
        for known in (
            version.id,
            version.run,
            version.recipe,
            version.code,
            "rows@v",
            "not measured",
            *groups,
        ):
            assert known in made
        assert all(evaluation.id in made for evaluation in card.evaluations)
    overall = next(
        one
        for made in card.evaluations
        for one in made.verdicts
        if (one.check, one.subject) == ("bound", "overall")
    )
    assert f"{overall.estimate:.4f} | {overall.low:.4f} to {overall.high:.4f}" in text
    assert card.spent.run_cpu is not None
    assert card.spent.run_cpu > 0
    assert (card.spent.cycle_cpu or 0) > card.spent.run_cpu, "the cycle trained two replicas"


def test_a_version_of_which_little_is_known_says_so(registered: Workspace) -> None:
    text = Cards(registered).render("toy/1", "md")
    assert "Nobody has written this yet" in text
    assert "Not tested." in text
    assert "not known of it: curves, licence" in text.replace("\\", "")


def test_later_checks_of_the_version_are_told_and_nothing_breaks_out(
    registered: Workspace, clock: ManualClock
) -> None:
    verdicts = [
        Verdict(
            check=check, subject=EVIL, outcome="fail", sentence=EVIL, metric="auc",
            estimate=0.5, low=0.4, high=0.6, n=9,
        )
        for check in ("bound", "bias.equalised_odds")
    ]  # fmt: skip
    made = Evaluation(
        id="later", kind="model", at=clock.now(), outcome="fail", verdicts=tuple(verdicts), subject="toy/1"
    )
    Evaluations(registered).keep(made)
    write(registered, said("limits", EVIL), actor=EVIL)
    card = Cards(registered).card("toy/1")
    html = page(card)
    assert "script" not in Outline(html).tags
    assert html.count("&lt;script&gt;") > 5
    text = markdown(card)
    table = [line for line in text.splitlines() if line.startswith("| fail")]
    assert table
    assert all("<" not in line.replace("\\<", "") for line in table)
    assert all(line.replace("\\|", "").count("|") == line.count(" | ") + 2 for line in table)


def test_what_people_wrote_in_markdown_is_shown_as_such_and_can_do_nothing(registered: Workspace) -> None:
    text = """Not for **medicine**.
See [the study](https://example.com/study).

### Where it fails

Underlined
==========

- in snow
- `NaN`

| group | why |
|---|---|
| north | few rows |

<img src=x onerror=alert(1)> <b>bold</b>
[run](javascript:alert(1)) [data](data:text/html;base64,PHNjcmlwdD4=) ![see](https://example.com/pixel.png)
"""
    write(registered, said("limits", text))
    html = page(Cards(registered).card("toy/1"))
    shown = html[html.index('<div class="said">') :].partition("</div>")[0]
    for part in (
        "Not for <strong>medicine</strong>.<br>\n",
        '<a href="https://example.com/study">the study</a>',
        "<h3>Where it fails</h3>",
        "<h3>Underlined</h3>",
        "<li>in snow</li>",
        "<li><code>NaN</code></li>",
        "<td>north</td>",
        "&lt;img src=x onerror=alert(1)&gt; &lt;b&gt;bold&lt;/b&gt;",
        "[run](javascript:alert(1))",
    ):
        assert part in shown
    assert Outline(html).tags.count("h1") == 1
    assert not {"img", "script", "b"} & set(Outline(html).tags)
    assert shown.count("href=") == 2  # the study, and where the picture is
    assert "data:text" not in "".join(shown.split("href=")[1:]).partition(">")[0]
    assert written("<script>alert(1)</script>") == "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>\n"
    assert text.strip() in markdown(Cards(registered).card("toy/1"))
